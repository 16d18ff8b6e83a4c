"""Pydantic's findings in plain words."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hpo.config import Config, JsonTree
from hpo.errors import Problem
from hpo.spaces.spelling import did_you_mean
from hpo.training.models.custom import PATH

NAME = r"^[a-z0-9][a-z0-9_-]{0,99}$"
"""Names of sweeps: safe in paths, URLs and MLflow."""
MODEL_NAME = r"^[^/:@]{1,200}$"
"""Names in MLflow's registry."""
METRIC = r"^[A-Za-z_][\w./ -]{0,199}$"
"""Names of metrics: MLflow takes them."""
MOST_SHOWN = 60
"""Characters of a value that a message repeats."""

Location = tuple[int | str, ...]

_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_REQUIREMENTS = {
    "bool_type": "be true or false",
    "finite_number": "be finite",
    "float_type": "be a number",
    "int_type": "be a whole number",
    "string_type": "be text",
    "tuple_type": "be a list",
    "path_type": "be a path",
    "too_short": "not be empty",
    "string_too_short": "not be empty",
    "dict_type": "be a mapping of settings",
    "mapping_type": "be a mapping of settings",
    "model_attributes_type": "be a mapping of settings",
    "model_type": "be a mapping of settings",
}
_PATTERNS = {
    NAME: "be at most 100 lower-case letters, digits, - and _, beginning with a letter or digit",
    PATH: "be a function by its Python path, such as my_package.nets:make",
    METRIC: "be at most 200 letters, digits, _, -, ., / and spaces, beginning with a letter or _",
    MODEL_NAME: "be 1 to 200 characters without /, : and @",
}
_ADVICE = {
    "greater_than": "Raise it.",
    "greater_than_equal": "Raise it.",
    "less_than": "Lower it.",
    "less_than_equal": "Lower it.",
    "finite_number": "Write a number.",
}
_OWN = " A network of your own is named by its Python path, in place of the mapping: `model: my_package.nets:make`."


def requirement(error: ErrorDetails) -> str:
    """What a value must do, to be read after `must`."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        relation, bound = _BOUNDS[kind]
        return f"be {relation} {context[bound]:g}"
    if kind == "multiple_of":
        return f"be a multiple of {context['multiple_of']:g}"
    if kind in ("literal_error", "enum"):
        return f"be {_unquoted(context['expected'])}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS[context["pattern"]]
    return _REQUIREMENTS.get(kind) or f"be valid ({error['msg']})"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def explain(error: ValidationError, tree: JsonTree, config: type[Config]) -> list[Problem]:
    """One problem per key, with key paths as they stand in the file.

    Args:
        error: what pydantic found.
        tree: what was validated.
        config: the class that it was validated as.
    """
    by_key: dict[Location, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "default_factory_not_called":
            continue  # its default follows from a field that is wrong, and is reported
        by_key.setdefault(_key(details["loc"], tree), []).append(details)
    return [_problem(key, found, config) for key, found in by_key.items()]


def configs_in(annotation: object) -> Iterator[type[Config]]:
    """Every config that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for argument in get_args(annotation):
        yield from configs_in(argument)


def tag_of(config: type[Config]) -> str:
    """Its kind, as files write it; empty where it has none."""
    fields = config.model_fields
    return next((str(fields[name].default) for name in ("kind", "distribution") if name in fields), "")


def _key(location: Location, tree: JsonTree) -> Location:
    """`location` without the segments that name a member of a union."""
    key: list[int | str] = []
    node: object = tree
    for segment in location:
        match node, segment:
            case dict(), str() if segment in node:
                node = node[segment]
            case dict(), str() if segment in (node.get("kind"), node.get("distribution")):
                continue
            case dict(), str():
                node = None
            case list(), int():
                node = node[segment]
            case _:
                break
        key.append(segment)
    return tuple(key)


def _problem(key: Location, found: Sequence[ErrorDetails], config: type[Config]) -> Problem:
    """`found` holds more than one error where every member of a union refused the value."""
    first = found[0]
    location, context, value = first["loc"], first.get("ctx", {}), first["input"]
    path = ".".join(map(str, key))
    match first["type"]:
        case "missing":
            return Problem(key=path, message="is required, but is missing. Add it.")
        case "extra_forbidden":
            known = [name for member in _members(config, location[:-1]).values() for name in member.model_fields]
            guess = did_you_mean(str(key[-1]), known)
            return Problem(key=path, message=f"unknown key.{guess} Known keys: {', '.join(known)}.")
        case "union_tag_not_found":
            message = f"is required, but is missing. Add one of: {', '.join(_members(config, location))}."
            return Problem(key=f"{path}.{_unquoted(context['discriminator'])}", message=message)
        case "union_tag_invalid":
            kinds, tag = _members(config, location), str(context["tag"])
            advice = _OWN if "custom" in kinds and ":" in tag else did_you_mean(tag, kinds)
            message = f"must be one of {', '.join(kinds)}, but got {tag}.{advice}"
            return Problem(key=f"{path}.{_unquoted(context['discriminator'])}", message=message)
        case "value_error":
            return Problem(key=path, message=str(context["error"]))
    rules = " or ".join(dict.fromkeys(requirement(details) for details in found))
    return Problem(key=path, message=f"must {rules}, but got {_value(value)}.{_advice(first, config)}")


def _members(config: type[Config], location: Location) -> dict[str, type[Config]]:
    """The configs that `config` allows at `location`, by their kind; one without a kind is called `""`."""
    found = {tag_of(config): config}
    for segment in location:
        if segment not in found and len(found) == 1:
            field = next(iter(found.values())).model_fields.get(str(segment))
            found = {tag_of(member): member for member in configs_in(field.annotation)} if field else found
        elif segment in found:
            found = {"": found[str(segment)]}
    return found


def _advice(error: ErrorDetails, config: type[Config]) -> str:
    value = error["input"]
    if isinstance(value, str) and value in _members(config, error["loc"]):
        return f" Write {{kind: {value}}}."
    if isinstance(value, str) and error["loc"] == ("model",):
        return _OWN
    if error["type"] in ("int_type", "float_type", "bool_type") and isinstance(value, str):
        is_scalar = re.fullmatch(r"[-+.\deE]*\d[-+.\deE]*|true|false", value)
        return " Remove the quotes." if is_scalar else ""
    if error["type"] in ("literal_error", "enum"):
        return did_you_mean(str(value), re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    advice = _ADVICE.get(error["type"])
    return f" {advice}" if advice else ""


def _value(value: object) -> str:
    """A value as JSON shows it, so that quoted numbers are seen to be text."""
    text = "a mapping" if isinstance(value, Mapping) else json.dumps(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _unquoted(names: str) -> str:
    return names.replace("'", "")
