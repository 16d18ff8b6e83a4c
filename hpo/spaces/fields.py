"""What every domain may say beside its values: which trials have the param, and where a good value is expected."""

from typing import Annotated, Literal, Protocol

from pydantic import BeforeValidator, Field

from hpo.config import Config
from hpo.errors import SpaceError
from hpo.records import ParamValue
from hpo.spaces.grammar import parse
from hpo.spaces.values import Value, shown


def _is_written(text: object) -> object:
    if not isinstance(text, str):
        raise SpaceError(f"must be a comparison, as optimizer.kind == adamw, but got {shown(text)}. Write one.")
    parse(text)
    return text


class Conditional(Config):
    """What every domain may say beside its values."""

    when: Annotated[str, BeforeValidator(_is_written)] | None = Field(default=None, exclude_if=lambda v: v is None)
    """Only trials for which this holds have the param, as `optimizer.kind == adamw`; none: all have it."""


class Expected(Conditional):
    """And where a good value is expected."""

    prior: Value | None = Field(default=None, exclude_if=lambda value: value is None)
    """A value that is likely good: trials begin near it, and look elsewhere as evidence grows; none: nothing known."""
    prior_confidence: Literal["low", "medium", "high"] | None = Field(default=None, exclude_if=lambda v: v is None)
    """How near: within about a half, a quarter or an eighth of the domain; none: medium."""


class _Bounded(Protocol):
    @property
    def prior(self) -> ParamValue | None: ...
    @property
    def prior_confidence(self) -> str | None: ...
    def contains(self, value: ParamValue) -> bool: ...
    def ends(self) -> tuple[ParamValue, ...]: ...


def check_prior(domain: _Bounded) -> None:
    """Hold a prior against its domain.

    Raises:
        SpaceError: if it lies outside, or if there is a confidence and no prior.
    """
    if domain.prior is None and domain.prior_confidence is not None:
        raise SpaceError("prior_confidence has no effect without a prior. Add one, or delete it.")
    if domain.prior is not None and not domain.contains(domain.prior):
        ends = domain.ends()
        raise SpaceError(
            f"prior must lie in the domain, which goes from {shown(ends[0])} to {shown(ends[-1])}, but got "
            f"{shown(domain.prior)}. Change one of the two."
        )
