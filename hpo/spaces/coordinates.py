"""Effective coordinates: numbers in which good recipes of many batch sizes and lengths lie close together.

Under a constant gradient, SGD moves a weight by lr / (1 - momentum) times the gradient at every step. Per example this
is `effective.lr` = lr / (batch_size * (1 - momentum)), to which the noise of training is proportional as well (Smith et
al. 2018). For the kinds of Adam, `effective.lr` = lr / sqrt(batch_size) (Malladi et al. 2022).

Decay takes a share of each weight at every step: lr * weight_decay where it is decoupled, and that over 1 - momentum
where it is part of SGD's gradient. So weights are a running mean of past updates, over as many steps as one over that
share; `effective.decay_epochs` is this time in epochs (Wang & Aitchison 2025). Through the gradient of an adaptive
optimizer decay has no such time.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Values = Mapping[str, Any]
"""Dotted path -> value."""

PREFIX = "effective."
"""How the path of every coordinate begins."""


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """A number above 0 that stands for one raw value."""

    raw: str
    """The dotted recipe path that it sets."""
    form: Literal["difference", "ratio", "reciprocal"]
    """constant - raw, raw / constant, or constant / raw."""
    constant: Callable[[Values, int], float]
    """Of a recipe, by its values, and the number of training examples."""
    kinds: tuple[str, ...] = ()
    """Of the optimizers that it is defined for; none: of all that have the raw value."""
    greatest: float = math.inf
    """What it may be at most."""

    def is_defined(self, values: Values) -> bool:
        """Whether a recipe with these values has it."""
        return self.raw in values and (not self.kinds or values["optimizer.kind"] in self.kinds)

    def to_raw(self, effective: float, values: Values, num_train: int) -> float:
        """The raw value that it comes to."""
        constant = self.constant(values, num_train)
        match self.form:
            case "difference":
                return constant - effective
            case "ratio":
                return constant * effective
            case "reciprocal":
                return constant / effective

    def to_effective(self, raw: float, values: Values, num_train: int) -> float:
        """The inverse of `to_raw`."""
        return raw / self.constant(values, num_train) if self.form == "ratio" else self.to_raw(raw, values, num_train)


def to_raw(effective: Values, values: Values, num_train: int) -> dict[str, float]:
    """What coordinates come to, by raw path: momenta first, then the rate, then decay.

    Args:
        effective: the coordinates.
        values: of the recipe, what they do not set.
        num_train: examples in an epoch.
    """
    found: dict[str, float] = {}
    for path, coordinate in COORDINATES.items():
        if path in effective:
            found[coordinate.raw] = coordinate.to_raw(effective[path], {**values, **found}, num_train)
    return found


def to_effective(values: Values, num_train: int) -> dict[str, float]:
    """The coordinates of a recipe; without decay there is none of it."""
    return {
        path: coordinate.to_effective(values[coordinate.raw], values, num_train)
        for path, coordinate in COORDINATES.items()
        if coordinate.is_defined(values) and (coordinate.form != "reciprocal" or values[coordinate.raw] > 0)
    }


def _rate_scale(values: Values, _: int) -> float:
    if values["optimizer.kind"] == "sgd":
        return float(values["batch_size"] * (1 - values["optimizer.momentum"]))
    return math.sqrt(values["batch_size"])


def _decay_scale(values: Values, num_train: int) -> float:
    """Weight decay times epochs."""
    is_in_gradient = values["optimizer.kind"] == "sgd" and values["optimizer.decay_mode"] == "coupled"
    share_of_update = 1 - values["optimizer.momentum"] if is_in_gradient else 1.0
    steps_per_epoch = num_train / values["batch_size"]
    return float(share_of_update / (values["optimizer.lr"] * steps_per_epoch))


COORDINATES: Mapping[str, Coordinate] = {
    f"{PREFIX}one_minus_{name}": Coordinate(
        raw=f"optimizer.{name}", form="difference", constant=lambda *_: 1.0, greatest=1.0
    )
    for name in ("momentum", "beta1", "beta2")
} | {
    f"{PREFIX}lr": Coordinate(
        raw="optimizer.lr", form="ratio", constant=_rate_scale, kinds=("sgd", "adam", "adamw", "radam", "nadam")
    ),
    f"{PREFIX}decay_epochs": Coordinate(
        raw="optimizer.weight_decay", form="reciprocal", constant=_decay_scale, kinds=("sgd", "adamw", "muon")
    ),
}
"""By path, in the order in which they are resolved: each needs the raw values of those before it."""
