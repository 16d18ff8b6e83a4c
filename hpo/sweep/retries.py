"""What is tried again, and for how long."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from hpo.config import Config

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = r"(\d+(?:\.\d+)?)\s*([smhd])"


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(_TEXT, value.strip())
    if match is None:
        raise ValueError(f"must be seconds, or a number with a unit such as 90s, 30m, 2h or 1d, but got {value!r}.")
    return float(match[1]) * UNITS_S[match[2]]


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^{_TEXT}$"}]}),
]


class Retries(Config):
    """What is tried again, and for how long."""

    error: Annotated[int, Field(ge=0)] = 1
    """How often a segment whose code raised is tried again."""
    worker_lost: Annotated[int, Field(ge=0)] | Literal["unlimited"] = 5
    """How often in a row a trial that is alone in its segment is tried again when it loses its worker, with nothing
    new reported in between."""
    trial_timeout: Duration | None = None
    """How long a trial may train in all, in seconds or as 90s, 30m, 2h: its own share of every epoch, and how long it
    has said nothing since. Without Ray a trial that hangs is waited for, if it is no program."""
    segment_timeout: Duration | None = None
    """How long a trial may train from one rung to the next, in the same words."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.trial_timeout is not None and (self.segment_timeout or 0) >= self.trial_timeout:
            raise ValueError(
                f"segment_timeout must be less than trial_timeout, {self.trial_timeout:g} s, but is "
                f"{self.segment_timeout:g} s, so it has no effect. Lower it, or delete it."
            )
        return self
