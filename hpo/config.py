"""What a user writes: frozen, strict, documented under the field."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

JsonTree = dict[str, Any]
"""Nested dicts, lists and scalars, as they stand in a YAML or JSON file."""


class Config(BaseModel):
    """Base of everything that a sweep file can hold.

    A config *is* its component: it is callable, or has the contract's methods.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,  # most commands read one of a hundred configs
    )

    def as_tree(self) -> JsonTree:
        """Every field, defaults included, as plain JSON values."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class PerLane:
    """Marks a field that is a number inside the arithmetic, so that trials which differ in it can share one program.

    Signature, packing and stacking derive from this mark alone; every other field is static and separates cohorts.
    """

    absent: float | None = None
    """The value at which the piece is not built at all; it is static then."""


PER_LANE = PerLane()
PER_LANE_UNLESS_0 = PerLane(absent=0.0)
OUTSIDE = "outside"
"""Marks what stays outside the program: what it decides comes in as each lane's own tensors or numbers."""
INHERITED = "inherited"
"""Marks what a trial has in common with one from whose state it goes on: what that state is made of, or came from."""


def per_lane_paths(config: Config, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all fields of `config` in which the trials of a cohort may differ."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if any(isinstance(mark, PerLane) and value != mark.absent for mark in field.metadata):
            yield prefix + name
        elif isinstance(value, Config):
            yield from per_lane_paths(value, f"{prefix}{name}.")
