"""YAML as plain trees, with the line of every key.

Scalars follow the core schema of YAML 1.2: `1e-4` is a number, `on` and `no` are text. Nothing is executed:
tags, anchors and aliases are refused, and so is what would harm later: control characters, which a terminal obeys and
no path may hold, deep nesting, and whole numbers of more than 64 bits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from hpo.errors import Problem

Scalar = bool | int | float | str | None

_WORDS: dict[str, Scalar] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf"))
    | dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf"))
    | dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
)
_DECIMAL = re.compile(r"[-+]?[0-9]{1,400}")  # longer ones are read as infinity, which no field takes
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and what turns the direction of text."""
MOST_NESTED = 50
"""Lists and mappings within each other."""
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class YamlTree:
    """What a YAML text says."""

    value: object
    """Dicts with text keys, lists and scalars; none when the text is empty or no YAML."""
    lines: Mapping[str, int]
    """The line of each key or list entry, from 1, by dotted path."""
    problems: tuple[Problem, ...]
    """What is not YAML, or not a plain tree."""


def read_yaml(text: str) -> YamlTree:
    """The one document in `text`. Never raises: mistakes are in `problems`."""
    reader = _Reader(text)
    try:
        value = reader.document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        rule = " ".join(part for part in (error.context, error.problem) if part)
        problem = Problem(key="", message=f"must be YAML, but: {rule}.", line=mark.line + 1 if mark else None)
        return YamlTree(value=None, lines={}, problems=(problem,))
    except YAMLError as error:
        problem = Problem(key="", message=f"must be YAML, but: {' '.join(str(error).split())}.")
        return YamlTree(value=None, lines={}, problems=(problem,))
    return YamlTree(value=value, lines=reader.lines, problems=tuple(reader.problems))


class _Reader:
    """Turns the parser's events into a tree, by recursive descent."""

    def __init__(self, text: str) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self._depth = 0
        self._events = YAML(typ="safe", pure=True).parse(text)

    def document(self) -> object:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, events.StreamEndEvent):
            return None
        value = self._node(next(self._events), "")
        next(self._events)  # the document's end
        event = next(self._events)
        if isinstance(event, events.DocumentStartEvent):
            self._refuse(event, "", "a file must hold one YAML document, but another begins here. Split the file.")
        return value

    def _node(self, event: events.Event, path: str) -> object:
        match event:
            case events.AliasEvent():
                self._refuse(event, path, f"YAML aliases are not allowed, but got *{event.anchor}. Write it out.")
                return None
            case events.CollectionStartEvent() | events.ScalarEvent() if event.tag is not None:
                self._refuse(event, path, f"YAML tags are not allowed, but got {event.tag}. Write the plain value.")
        if isinstance(event, events.ScalarEvent):
            return self._plain(event, path)
        if self._depth == MOST_NESTED:
            rule = f"lists and mappings lie at most {MOST_NESTED} deep in each other, but here is one more"
            raise MarkedYAMLError(problem=rule, problem_mark=event.start_mark)
        self._depth += 1
        value = self._mapping(path) if isinstance(event, events.MappingStartEvent) else self._sequence(path)
        self._depth -= 1
        return value

    def _plain(self, event: events.ScalarEvent, path: str) -> Scalar:
        value = _scalar(event.value) if event.style is None else event.value
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self._refuse(event, path, "a whole number must fit into 64 bits, but this one does not. Use a smaller one.")
            return None
        if self._holds_control(event, path):
            return None
        return value

    def _holds_control(self, event: events.ScalarEvent, path: str) -> bool:
        found = _CONTROL.search(event.value)
        if found is not None:
            message = f"text must hold no control characters, but has {found[0]!a}. Delete it."
            self._refuse(event, path, message)
        return found is not None

    def _mapping(self, path: str) -> dict[str, object]:
        tree: dict[str, object] = {}
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            if not isinstance(event, events.ScalarEvent):
                self._refuse(event, path, "a key must be text, but got a list or a mapping.")
                self._node(event, path)
                self._node(next(self._events), path)
                continue
            if self._holds_control(event, path):
                self._node(next(self._events), path)
                continue
            key = event.value
            child = f"{path}.{key}" if path else key
            if key in tree:
                message = f"a key must appear once, but line {self.lines[child]} has it too. Delete one of them."
                self._refuse(event, child, message)
            else:
                self.lines[child] = event.start_mark.line + 1
            value = self._node(next(self._events), child)
            tree.setdefault(key, value)
        return tree

    def _sequence(self, path: str) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), events.SequenceEndEvent):
            child = f"{path}.{len(values)}"
            self.lines[child] = event.start_mark.line + 1
            values.append(self._node(event, child))
        return values

    def _refuse(self, event: events.Event, path: str, message: str) -> None:
        self.problems.append(Problem(key=path, message=message, line=event.start_mark.line + 1))


def _scalar(text: str) -> Scalar:
    """A scalar without quotes, by the core schema (YAML 1.2.2, section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, base=0)
    return float(text) if _FLOAT.fullmatch(text) else text
