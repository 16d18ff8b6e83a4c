"""What a user writes: frozen, strict, documented under the field."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

JsonTree = dict[str, Any]
"""Nested dicts, lists and scalars, as they stand in a YAML or JSON file."""


class Config(BaseModel):
    """Base of everything that a sweep file can hold. A config *is* its component: it is callable or has the contract's methods."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def as_tree(self) -> JsonTree:
        """Every field, defaults included, as plain JSON values."""
        return self.model_dump(mode="json")


class _PerLane:
    """The type of `PER_LANE`."""

    def __repr__(self) -> str:
        return "PER_LANE"


PER_LANE = _PerLane()
"""Marks a field that is a number inside the arithmetic, so that trials which differ in it can share one program.

Signature, packing and stacking derive from this mark alone; every other field is static and separates cohorts.
"""


def per_lane_paths(config: Config, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all fields of `config` that carry the `PER_LANE` mark."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if any(mark is PER_LANE or isinstance(mark, _PerLane) for mark in field.metadata):
            yield prefix + name
        elif isinstance(value, Config):
            yield from per_lane_paths(value, f"{prefix}{name}.")
