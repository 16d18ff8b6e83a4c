"""Isoeffect: pairs of params of which theory says that one makes up for the other, and whether that is so here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hpo.records import Goal, Params
from hpo.results.report.points import Mark, Point
from hpo.spaces.values import is_number

RATE, DECAY, BATCH, MOMENTUM = "optimizer.lr", "optimizer.weight_decay", "batch_size", "optimizer.momentum"
FEWEST = 8
"""Trials of which a plot is made."""
FEWEST_FITTED = 10
"""Of a quadratic in two coordinates, which has 6 coefficients."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The rate, and what may make up for it."""

    up: str
    """Its path."""
    name: str
    """Of what is shown of it."""
    slopes: Mapping[str, float]
    """By kind of optimizer, the exponent of the rate to which it is proportional where the effect stays the same."""
    laws: Mapping[str, str] = field(default_factory=dict)
    """The same as a formula."""

    def place(self, params: Params) -> tuple[float, float] | None:
        """Of a trial, in powers of ten; none where it lacks one, or has none of it."""
        rate, other = params.get(RATE), params.get(self.up)
        if rate is None or other is None or not is_number(rate) or not is_number(other):
            return None
        other = 1 - other if self.up == MOMENTUM else other
        return (math.log10(rate), math.log10(other)) if rate > 0 and other > 0 else None


_DECOUPLED = "rate * decay"
_ROOT = "rate / sqrt(batch)"
PAIRS = (
    Pair(
        up=DECAY,
        name="optimizer.weight_decay",
        slopes={"sgd": -1.0, "adamw": -1.0, "muon": -1.0},
        laws={"sgd": "rate * decay / (1 - momentum)", "adamw": _DECOUPLED, "muon": _DECOUPLED},
    ),
    Pair(
        up=BATCH,
        name="batch_size",
        slopes={"sgd": 1.0} | dict.fromkeys(("adam", "adamw", "radam", "nadam"), 2.0),
        laws={"sgd": "rate / (batch * (1 - momentum))"} | dict.fromkeys(("adam", "adamw", "radam", "nadam"), _ROOT),
    ),
    Pair(
        up=MOMENTUM,
        name="1 - optimizer.momentum",
        slopes={"sgd": 1.0},
        laws={"sgd": "rate / (batch * (1 - momentum))"},
    ),
)
"""The laws are those of `hpo.spaces.coordinates`, with all that the pair leaves out held as it is."""


@dataclass(frozen=True, kw_only=True)
class Flatness:
    """The shape of the valley in which the best trials lie."""

    angle: float
    """Between its floor and the isoline, in degrees from 0 to 90."""
    ratio: float
    """Of the curvature along its floor to that across; below 0: the floor falls away to both ends."""
    num_trials: int


@dataclass(frozen=True, kw_only=True)
class Isoeffect:
    """Trials of one kind of optimizer in the plane of a pair."""

    pair: Pair
    places: NDArray[np.float64]
    """[n, 2], in powers of ten: the rate, and the other."""
    values: NDArray[np.float64]
    """[n]."""
    is_complete: NDArray[np.bool_]
    """[n]."""
    best: int
    """The row of the best that went to the end, or else of all."""
    slope: float | None
    """Of the isoline; none where theory has none."""
    law: str | None
    """What stays the same along it."""
    flatness: Flatness | None
    """None where too few went to the end, or they lie in no valley."""


def isoeffects(points: Sequence[Point], optimizer: str | None, goal: Goal) -> list[Isoeffect]:
    """All pairs of which a sweep has searched both, by its optimizer: where several are searched, that of the best.

    Args:
        points: trials of the search.
        optimizer: the kind that trials have whose params name none.
        goal: which way values are better.
    """
    measured = [point for point in points if point.value is not None]
    if not measured:
        return []
    kind = _kind(min(measured, key=lambda point: _order(point, goal)), optimizer)
    alike = [point for point in measured if _kind(point, optimizer) == kind]
    found = (_isoeffect(pair, alike, kind, goal) for pair in PAIRS)
    return [each for each in found if each is not None]


def flatness(places: NDArray[np.float64], costs: NDArray[np.float64], slope: float) -> Flatness | None:
    """Of the quadratic that fits the better half by least squares: the eigenvectors of its Hessian.

    Args:
        places: [n, 2].
        costs: [n], lower is better.
        slope: of the isoline.
    """
    order = np.argsort(costs, kind="stable")[: math.ceil(len(costs) / 2)]
    if len(order) < FEWEST_FITTED:
        return None
    x, y = (places[order] - places[order].mean(0)).T
    terms = np.stack([np.ones_like(x), x, y, x**2 / 2, x * y, y**2 / 2], axis=1)
    coefficients, _, num_independent, _ = np.linalg.lstsq(terms, costs[order])
    if num_independent < terms.shape[1]:
        return None
    xx, xy, yy = coefficients[3:]
    curvatures, directions = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    if curvatures[1] <= 0:
        return None
    along = np.array([1.0, slope]) / math.hypot(1, slope)
    cosine = min(1.0, abs(float(directions[:, 0] @ along)))  # of the least curvature: eigh sorts them
    return Flatness(
        angle=math.degrees(math.acos(cosine)),
        ratio=float(curvatures[0] / curvatures[1]),
        num_trials=len(order),
    )


def _isoeffect(pair: Pair, points: Sequence[Point], kind: str | None, goal: Goal) -> Isoeffect | None:
    """None where there are too few trials, or one of the two is always the same."""
    placed = [(place, point) for point in points if (place := pair.place(point.params)) is not None]
    places = np.array([place for place, _ in placed]).reshape(-1, 2)
    if len(placed) < FEWEST or (np.ptp(places, axis=0) == 0).any():
        return None
    own = [point for _, point in placed]
    values = np.array([point.value for point in own], dtype=float)
    is_complete = np.array([point.mark is Mark.COMPLETE for point in own])
    slope = pair.slopes.get(kind or "")
    costs = np.array([goal.as_cost(value) for value in values])
    return Isoeffect(
        pair=pair,
        places=places,
        values=values,
        is_complete=is_complete,
        best=min(range(len(own)), key=lambda row: _order(own[row], goal)),
        slope=slope,
        law=pair.laws.get(kind or ""),
        flatness=None if slope is None else flatness(places[is_complete], costs[is_complete], slope),
    )


def _order(point: Point, goal: Goal) -> tuple[bool, float]:
    assert point.value is not None
    return point.mark is not Mark.COMPLETE, goal.as_cost(point.value)


def _kind(point: Point, optimizer: str | None) -> str | None:
    kind = point.params.get("optimizer.kind", optimizer)
    return None if kind is None else str(kind)
