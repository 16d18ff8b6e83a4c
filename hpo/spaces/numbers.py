"""Domains of numbers."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.errors import SpaceError
from hpo.records import ParamValue
from hpo.spaces.fields import Expected, check_prior
from hpo.spaces.values import is_number

MOST_EXACT = 2**53
"""Up to this, whole numbers and counts of steps are exact as floating-point numbers."""
GRID_TOLERANCE = 1e-9
"""In steps: how far from the grid a quantised value may lie and still be on it."""


class Uniform(Expected):
    """Any number from `min` to `max`."""

    distribution: Literal["uniform"] = "uniform"
    min: float
    """Least value."""
    max: float
    """Greatest value."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.min, self.max)
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return is_number(value) and self.min <= value <= self.max

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class LogUniform(Expected):
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
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return is_number(value) and self.min <= value <= self.max

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class QUniform(Expected):
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
        _check_order(self.min, self.max, self.q)
        if not self.contains(self.max):
            fitting = self.min + max(1, math.floor((self.max - self.min) / self.q)) * self.q
            raise SpaceError(
                "max must lie a whole number of steps above min, "
                f"but got min={self.min:g}, max={self.max:g}, q={self.q:g}. Use max={fitting:g}, or another step."
            )
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether `value` is on the grid, to rounding."""
        if not is_number(value) or not self.min <= value <= self.max:
            return False
        steps = (value - self.min) / self.q
        return abs(steps - round(steps)) <= GRID_TOLERANCE * max(1.0, steps)

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class QLogUniform(Expected):
    """The multiples of `q` from `min` to `max`, each factor of ten as likely as the next."""

    distribution: Literal["qloguniform"] = "qloguniform"
    min: float
    """Least value, above 0 and a multiple of q."""
    max: float
    """Greatest value, a multiple of q."""
    q: float
    """The step."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.q <= 0:
            raise SpaceError(f"`q > 0` must hold, but got q={self.q:g}. Set the step between two values.")
        if self.min <= 0:
            raise SpaceError(f"`min > 0` must hold, but got min={self.min:g}: a logarithm needs it. Raise min.")
        _check_order(self.min, self.max, self.q)
        for name, value in (("min", self.min), ("max", self.max)):
            if not _is_multiple(value, self.q):
                near = max(1, round(value / self.q)) * self.q
                raise SpaceError(f"{name} must be a multiple of q={self.q:g}, but got {value:g}. Use {near:g}.")
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether `value` is a multiple of `q` within the bounds, to rounding."""
        return is_number(value) and self.min <= value <= self.max and _is_multiple(value, self.q)

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class RandInt(Expected):
    """Any whole number from `min` to `max`, both included."""

    distribution: Literal["randint"] = "randint"
    min: int
    """Least value."""
    max: int
    """Greatest value, included."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.min, self.max)
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return type(value) is int and self.min <= value <= self.max

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class LogRandInt(Expected):
    """Any whole number from `min` to `max`, both included, each factor of ten as likely as the next."""

    distribution: Literal["lograndint"] = "lograndint"
    min: int
    """Least value, at least 1."""
    max: int
    """Greatest value, included."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min < 1:
            raise SpaceError(
                f"`min >= 1` must hold, but got min={self.min}: a logarithm needs it. Raise min, or use randint."
            )
        _check_order(self.min, self.max)
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return type(value) is int and self.min <= value <= self.max

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


class QRandInt(Expected):
    """The whole numbers `min`, `min + q`, `min + 2 q` ... `max`."""

    distribution: Literal["qrandint"] = "qrandint"
    min: int
    """Least value."""
    max: int
    """Greatest value, a whole number of steps above `min`."""
    q: Annotated[int, Field(ge=2)]
    """The step."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.min, self.max)
        if rest := (self.max - self.min) % self.q:
            fitting = self.max - rest if self.max - rest > self.min else self.min + self.q
            raise SpaceError(
                "max must lie a whole number of steps above min, "
                f"but got min={self.min}, max={self.max}, q={self.q}. Use max={fitting}, or another step."
            )
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return type(value) is int and self.min <= value <= self.max and (value - self.min) % self.q == 0

    def ends(self) -> tuple[ParamValue, ...]:
        """The values that decide whether the domain fits a field."""
        return (self.min, self.max)


def _check_order(least: float, greatest: float, q: float = 0.0) -> None:
    largest = max(abs(least), abs(greatest))
    if isinstance(least, int) and largest > MOST_EXACT:
        raise SpaceError(f"whole numbers must lie within 2^53 of 0, but got {least} and {greatest}. Narrow the domain.")
    if q > 0 and largest / q > MOST_EXACT:
        raise SpaceError(f"a domain must have at most 2^53 steps, but has more with q={q:g}. Raise q.")
    if not least < greatest:
        raise SpaceError(
            f"`min < max` must hold, but got min={least:g}, max={greatest:g}. "
            "Swap the bounds, or set the value in the recipe and drop it from the space."
        )


def _is_multiple(value: float, q: float) -> bool:
    steps = value / q
    return abs(steps - round(steps)) <= GRID_TOLERANCE * max(1.0, steps)
