"""The reference of sweep files: every option there is, read off the models that hold them."""

import inspect
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from hpo.config import OUTSIDE, Config, PerLane
from hpo.spaces.values import shown
from hpo.sweep.asked import Asked
from hpo.sweep.model import Sweep
from hpo.sweep.own import OwnSweep
from hpo.sweep.wording import configs_in, tag_of
from hpo.training.recipe import Recipe

INTRODUCTION = """# Every option of a sweep file

Written by `hpo docs`, from the code. An option of section `optimizer` is written `optimizer: {lr: 0.1}`, and searched
under its path, as in `space: {optimizer.lr: "loguniform(1e-3, 1)"}`. What belongs to the recipe can be searched, but
for `epochs`; what a section does not say itself, it says under the kind it belongs to.

*Per lane* says whether trials that differ in an option can train side by side as one program: *yes*; *yes, unless 0*,
for at 0 the piece is not built at all; *outside*, for it acts before the program or beside it; *no*, for it separates
cohorts; *alone*, for such trials train one at a time.
"""
OWN = "Training of your own"
ALONE = "Options without a section"
TAGS = ("kind", "distribution")
"""Fields that name a kind, and so are headings."""
NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path", type(None): "none"}
RELATIONS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
"""By the name that the limit has in a field's marks."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One value that a sweep file can set."""

    path: str
    kind: str
    """Of its section; empty where there is no choice."""
    values: str
    """Type and range, in words."""
    default: str
    per_lane: str
    """Empty outside the recipe."""
    meaning: str
    choices: tuple[str, ...] = ()
    """Words of which it is one, or a list, if it is."""


@dataclass(frozen=True)
class Section:
    """A key of the sweep file that holds others."""

    name: str
    meaning: str
    default: str
    kinds: dict[str, type[Config]]
    """By name; one without a name where there is no choice."""
    options: Sequence[Option]


def sections() -> list[Section]:
    """In the order of the model; first, under no name, the options that have no section."""
    alone = [_option(name, "", field, _is_outside(field)) for name, field in _fields(Sweep) if not _kinds(field)]
    ours = [_section(name, field) for name, field in _fields(Sweep) if _kinds(field)]
    return [Section("", "", "", {}, alone), *ours, _own_section()]


def reference() -> str:
    """All options, as Markdown: a table for each section and kind, what all kinds share once."""
    return "\n".join([INTRODUCTION, *(line for section in sections() for line in _lines(section))])


def trains_alone(config: type[Config]) -> bool:
    """Whether a kind is an optimizer without a form for lanes."""
    return hasattr(config, "make") and not hasattr(config, "update")


def _own_section() -> Section:
    """What a sweep over the user's own training has in place of a recipe and all that follows from one."""
    own = ((name, field) for name, field in _fields(OwnSweep) if name not in Asked.model_fields)
    options = [
        option
        for name, field in own
        for option in (_section(name, field).options if _kinds(field) else [_option(name, "", field, False)])
    ]
    meaning = "In place of model and data, with nothing but these and what every sweep has, from `space` to `storage`."
    return Section(OWN, meaning, "", {}, [replace(option, per_lane="") for option in options])


def _section(name: str, field: FieldInfo) -> Section:
    kinds = _kinds(field)
    options = [option for kind, config in kinds.items() for option in _options(config, name, kind, _is_outside(field))]
    default = tag_of(type(field.default)) if isinstance(field.default, Config) else ""
    return Section(name, _joined(field.description), default, kinds, options)


def _options(config: type[Config], prefix: str, kind: str, is_outside: bool) -> Iterator[Option]:
    """All options of a config, those of the configs within it too."""
    for name, field in _fields(config):
        inner = _kinds(field)
        if not inner:
            option = _option(f"{prefix}.{name}", kind, field, is_outside)
            yield replace(option, per_lane="alone") if trains_alone(config) else option
        for tag, nested in inner.items():
            yield from _options(nested, f"{prefix}.{name}", tag or kind, is_outside)


def _option(path: str, kind: str, field: FieldInfo, is_outside: bool) -> Option:
    in_recipe = path.partition(".")[0] in Recipe.model_fields
    return Option(
        path=path,
        kind=kind,
        values=_values(field.annotation, field.metadata),
        default=_default(field),
        per_lane=_per_lane(field, is_outside) if in_recipe else "",
        meaning=_joined(field.description),
        choices=_choices(field.annotation),
    )


def _fields(config: type[Config]) -> Iterator[tuple[str, FieldInfo]]:
    return ((name, field) for name, field in config.model_fields.items() if name not in TAGS)


def _kinds(field: FieldInfo) -> dict[str, type[Config]]:
    return {tag_of(config): config for config in configs_in(field.annotation)}


def _is_outside(field: FieldInfo) -> bool:
    return OUTSIDE in field.metadata


def _per_lane(field: FieldInfo, is_outside: bool) -> str:
    marks = [mark for mark in field.metadata if isinstance(mark, PerLane)]
    if not marks:
        return "outside" if is_outside else "no"
    return "yes" if marks[0].absent is None else f"yes, unless {marks[0].absent:g}"


def _values(annotation: object, metadata: Sequence[object] = ()) -> str:  # noqa: PLR0911 - one for each kind of type
    """A type with its range, in words."""
    arguments = get_args(annotation)
    match get_origin(annotation):
        case origin if origin is Annotated:
            return _values(arguments[0], arguments[1:])
        case origin if origin is Literal:
            return _listed(map(str, arguments))
        case origin if origin in (Union, types.UnionType):
            return _listed(dict.fromkeys(_values(member) for member in arguments))
        case origin if origin is tuple:
            return f"list of: {_values(arguments[0])}"
        case None if isinstance(annotation, type) and issubclass(annotation, Enum):
            return _listed(str(member.value) for member in annotation)
        case None if annotation in NAMES:
            return " ".join([NAMES[annotation], ", ".join(_bounds(metadata))]).strip()
    return "mapping"


def _bounds(metadata: Sequence[object]) -> Iterator[str]:
    for mark in metadata:
        if isinstance(mark, FieldInfo):
            yield from _bounds(mark.metadata)
        else:
            limits = ((relation, getattr(mark, name, None)) for name, relation in RELATIONS.items())
            yield from (f"{relation} {limit:g}" for relation, limit in limits if limit is not None)


def _choices(annotation: object) -> tuple[str, ...]:
    """The words of a type that is a choice of words, or a list of such, and nothing else."""
    if get_origin(annotation) is tuple:
        return _choices(get_args(annotation)[0])
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType, Literal) else ()
    words = [word for member in members for word in (_choices(member) if get_origin(member) else (member,))]
    return tuple(words) if all(isinstance(word, str) for word in words) else ()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    match value:
        case None:
            return "none"
        case Enum():
            return str(value.value)
        case float():
            return f"{value:.4g}"
        case dict():
            return "{}"
        case _:
            return shown(value)


def _lines(section: Section) -> Iterator[str]:
    title = section.name if section.name == OWN else f"`{section.name}`"
    yield f"## {title if section.name else ALONE}\n"
    if section.meaning:
        default = f" Default: `{section.default}`." if section.default else ""
        yield f"{section.meaning}{default}\n"
    if len(section.kinds) < 2:
        yield from _table(section.options)
        return
    shared = _shared(section)
    if shared:
        yield "### Every kind\n"
        yield from _table(shared)
    for kind, config in section.kinds.items():
        yield f"### `{section.name}.{kind}`\n"
        yield f"{_joined(inspect.getdoc(config))}\n"
        own = [option for option in section.options if option.kind == kind and replace(option, kind="") not in shared]
        yield from _table(own)


def _shared(section: Section) -> list[Option]:
    """What every kind has, with the same values, default and meaning."""
    alike = [replace(option, kind="") for option in section.options]
    return [option for option in dict.fromkeys(alike) if alike.count(option) == len(section.kinds)]


def _table(options: Sequence[Option]) -> Iterator[str]:
    if not options:
        return
    is_recipe = any(option.per_lane for option in options)
    titles = ["option", "values", "default", *(["per lane"] if is_recipe else []), "what it is"]
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for option in options:
        lane = [option.per_lane] if is_recipe else []
        cells = [f"`{option.path}`", option.values, f"`{option.default}`", *lane, option.meaning]
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""


def _joined(text: str | None) -> str:
    """The first paragraph, on one line."""
    return " ".join((text or "").partition("\n\n")[0].split())


def _listed(words: Any) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
