"""Domains: the values that one searched field may take.

A sweep file writes them short, `loguniform(1e-4, 1)`, or long, `{distribution: loguniform, min: 1e-4, max: 1}`.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeGuard

from pydantic import BeforeValidator, Field, model_validator

from hpo.config import Config
from hpo.errors import SpaceError
from hpo.records import ParamValue
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.yaml_tree import read_yaml

GRID_TOLERANCE = 1e-9
"""In steps: how far from the grid a quantised value may lie and still be on it."""


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


class Uniform(Config):
    """Any number from `min` to `max`."""

    distribution: Literal["uniform"] = "uniform"
    min: float
    """Least value."""
    max: float
    """Greatest value."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.min, self.max)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return _is_number(value) and self.min <= value <= self.max

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class LogUniform(Config):
    """Any number from `min` to `max`, each factor of ten as likely as the next."""

    distribution: Literal["loguniform"] = "loguniform"
    min: float
    """Least value, above 0."""
    max: float
    """Greatest value."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min <= 0:
            raise SpaceError(
                f"`min > 0` must hold, but got min={self.min:g}: a logarithm needs it. Raise min, or use uniform."
            )
        _check_order(self.min, self.max)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return _is_number(value) and self.min <= value <= self.max

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class QUniform(Config):
    """The numbers `min`, `min + q`, `min + 2 q` ... `max`."""

    distribution: Literal["quniform"] = "quniform"
    min: float
    """Least value."""
    max: float
    """Greatest value, a whole number of steps above `min`."""
    q: float
    """The step."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.q <= 0:
            raise SpaceError(f"`q > 0` must hold, but got q={self.q:g}. Set the step between two values.")
        _check_order(self.min, self.max)
        if not self.contains(self.max):
            fitting = self.min + max(1, math.floor((self.max - self.min) / self.q)) * self.q
            raise SpaceError(
                "max must lie a whole number of steps above min, "
                f"but got min={self.min:g}, max={self.max:g}, q={self.q:g}. Use max={fitting:g}, or another step."
            )
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether `value` is on the grid, to rounding."""
        if not _is_number(value) or not self.min <= value <= self.max:
            return False
        steps = (value - self.min) / self.q
        return abs(steps - round(steps)) <= GRID_TOLERANCE * max(1.0, steps)

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class RandInt(Config):
    """Any whole number from `min` to `max`, both included."""

    distribution: Literal["randint"] = "randint"
    min: int
    """Least value."""
    max: int
    """Greatest value, included."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.min, self.max)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return type(value) is int and self.min <= value <= self.max

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class Choice(Config):
    """One of a few values, without order."""

    distribution: Literal["choice"] = "choice"
    values: Annotated[tuple[Value, ...], Field(strict=False)]
    """At least two: numbers, text, true and false, or lists of whole numbers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        distinct = {_identity(value) for value in self.values}
        if len(self.values) < 2 or len(distinct) < len(self.values):
            raise SpaceError(
                f"a choice must hold at least two values, no two of them the same, but got {shown(self.values)}. "
                "Drop what is double, or set a single value in the recipe and drop it from the space."
            )
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return _identity(value) in {_identity(known) for known in self.values}

    def ends(self) -> tuple[ParamValue, ...]:
        """All values: each must fit the field."""
        return self.values


def shown(value: object) -> str:
    """A value as YAML shows it, in messages."""
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: "nothing"}[value]
        case list() | tuple():
            return f"[{', '.join(map(shown, value))}]"
        case _:
            return str(value)


def _check_order(least: float, greatest: float) -> None:
    if not least < greatest:
        raise SpaceError(
            f"`min < max` must hold, but got min={least:g}, max={greatest:g}. "
            "Swap the bounds, or set the value in the recipe and drop it from the space."
        )


def _is_number(value: ParamValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _identity(value: ParamValue) -> tuple[bool, ParamValue]:
    """Equal for equal values, but `true` is not 1."""
    return isinstance(value, bool), value


_LongForm = Annotated[Uniform | LogUniform | QUniform | RandInt | Choice, Field(discriminator="distribution")]
_ARGUMENTS = {
    "uniform": ("min", "max"),
    "loguniform": ("min", "max"),
    "quniform": ("min", "max", "q"),
    "randint": ("min", "max"),
    "choice": (),
}
SHORT_FORM = rf"^\s*({'|'.join(_ARGUMENTS)})\s*\((.*)\)\s*$"
"""What the short form of a domain matches."""


def _lengthen(written: object) -> object:
    """The long form of a short one; anything else as it is."""
    if isinstance(written, Mapping | Config):
        return written
    match = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", str(written), re.DOTALL)
    if match is None:
        is_cut = re.fullmatch(r"\s*\w+\s*\([^)]*", str(written)) is not None
        advice = " Within braces it needs quotes, for a comma there ends a value." if is_cut else ""
        message = f"a domain is written like loguniform(1e-4, 1) or choice(32, 64), but got {shown(written)}.{advice}"
        raise SpaceError(message)
    name, arguments = match[1], read_yaml(f"[{match[2]}]")
    if name not in _ARGUMENTS:
        known = ", ".join(_ARGUMENTS)
        raise SpaceError(f"must be one of {known}, but got {name}.{did_you_mean(name, _ARGUMENTS)}")
    if arguments.problems or not isinstance(arguments.value, list):
        raise SpaceError(f"the values of a domain are separated by commas, as in choice(32, 64), but got {written}.")
    if name == "choice":
        return {"distribution": name, "values": arguments.value}
    fields = _ARGUMENTS[name]
    if len(arguments.value) != len(fields):
        raise SpaceError(f"{name} is written {name}({', '.join(fields)}), but got {written}.")
    return {"distribution": name} | dict(zip(fields, arguments.value, strict=True))


Domain = Annotated[_LongForm, BeforeValidator(_lengthen)]
