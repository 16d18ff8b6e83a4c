"""Domains: the values that one searched field may take."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.errors import SpaceError
from hpo.records import ParamValue
from hpo.spaces.fields import Conditional, Expected, check_prior
from hpo.spaces.numbers import LogRandInt, LogUniform, QLogUniform, QRandInt, QUniform, RandInt, Uniform
from hpo.spaces.values import Value, identity, is_among, shown


class Choice(Expected):
    """One of a few values, without order."""

    distribution: Literal["choice"] = "choice"
    values: Annotated[tuple[Value, ...], Field(strict=False)]
    """At least two: numbers, text, true and false, or lists of whole numbers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_distinct(self.values)
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return is_among(value, self.values)

    def ends(self) -> tuple[ParamValue, ...]:
        """All values: each must fit the field."""
        return self.values


class Ordinal(Expected):
    """One of a few values, of which neighbours are alike."""

    distribution: Literal["ordinal"] = "ordinal"
    values: Annotated[tuple[Value, ...], Field(strict=False)]
    """At least two, in order: numbers, text, true and false, or lists of whole numbers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_distinct(self.values)
        check_prior(self)
        return self

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return is_among(value, self.values)

    def ends(self) -> tuple[ParamValue, ...]:
        """All values: each must fit the field."""
        return self.values


class Constant(Conditional):
    """One value: what trials have where a condition holds, or in place of what another file searches."""

    distribution: Literal["constant"] = "constant"
    value: Value
    """A number, text, true or false, or a list of whole numbers."""

    def contains(self, value: ParamValue) -> bool:
        """Whether a trial may have `value`."""
        return is_among(value, (self.value,))

    def ends(self) -> tuple[ParamValue, ...]:
        """The value."""
        return (self.value,)


Domain = Uniform | LogUniform | QUniform | QLogUniform | RandInt | LogRandInt | QRandInt | Choice | Ordinal | Constant


def _check_distinct(values: tuple[ParamValue, ...]) -> None:
    distinct = {identity(value) for value in values}
    if len(values) < 2 or len(distinct) < len(values):
        raise SpaceError(
            f"a choice must hold at least two values, no two of them the same, but got {shown(values)}. "
            "Drop what is double, or set a single value in the recipe and drop it from the space."
        )
