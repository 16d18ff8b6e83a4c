"""What a param can be."""

import math
from typing import Annotated, TypeGuard

from pydantic import BeforeValidator

from hpo.errors import SpaceError
from hpo.records import ParamValue


def as_param_value(value: object) -> ParamValue:
    """`value`, with a list as a tuple, if a field can be set to it.

    Raises:
        SpaceError: if it is nothing that a param can be.
    """
    match value:
        case bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple() if value and all(type(entry) is int for entry in value):
            return tuple(value)
    raise SpaceError(
        f"must be a finite number, text, true, false or a list of whole numbers, but got {shown(value)}. "
        "Write a value that the field can take."
    )


Value = Annotated[ParamValue, BeforeValidator(as_param_value)]


def shown(value: object) -> str:
    """A value as YAML shows it, in messages."""
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: "nothing"}[value]
        case list() | tuple():
            return f"[{', '.join(map(shown, value))}]"
        case _:
            return str(value)


def is_among(value: ParamValue, values: tuple[ParamValue, ...]) -> bool:
    """Whether `value` is one of `values`; `true` is not 1."""
    return identity(value) in {identity(known) for known in values}


def is_number(value: ParamValue) -> TypeGuard[int | float]:
    """Whether `value` is one; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def identity(value: ParamValue) -> tuple[bool, ParamValue]:
    """Equal for equal values, but `true` is not 1."""
    return isinstance(value, bool), value
