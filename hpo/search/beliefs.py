"""Where good values are expected, and how that fades with evidence.

A belief is a normal density over the axis of its param, cut off at the ends; of a choice it is the share of its values.
Raised to a power from 1 to 0 a normal density stays one and grows wide, so that what is believed fades into an even
draw: the idea of Hvarfner et al. (2022), "piBO", whose power is one over the number of trials.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from hpo.search.cube import Cube, Points, Settled
from hpo.search.distributions import Stored, encode
from hpo.spaces import Constant, Domain

Vector = NDArray[np.float64]

WIDTHS: Mapping[str, float] = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Standard deviation of a normal density over an axis of length 1, by confidence."""
ODDS: Mapping[str, float] = {"low": 2.0, "medium": 4.0, "high": 8.0}
"""How much more likely than any other the expected one of several choices is."""
HALF_LIFE = 10
"""After so many trials have been measured a belief has half its power."""


@dataclass(frozen=True)
class Belief:
    """What is said of one param."""

    value: Stored
    confidence: Literal["low", "medium", "high"]


def beliefs_of(space: Mapping[str, Domain]) -> dict[str, Belief]:
    """By path, where a domain has a prior."""
    searched = {path: domain for path, domain in space.items() if not isinstance(domain, Constant)}
    return {
        path: Belief(encode(domain, domain.prior), domain.prior_confidence or "medium")
        for path, domain in searched.items()
        if domain.prior is not None
    }


def power(num_measured: int) -> float:
    """Of beliefs, when so many trials have been measured: from 1 to 0."""
    return HALF_LIFE / (HALF_LIFE + num_measured)


@final
class Beliefs:
    """A density over the cube."""

    def __init__(self, cube: Cube, beliefs: Mapping[str, Belief]) -> None:
        self._centres = {
            axis: float(cube.point({name: beliefs[name].value})[axis])
            for axis, name in enumerate(cube.names)
            if name in beliefs
        }
        self._axes = {
            axis: _Odds(cells, centre, ODDS[beliefs[name].confidence])
            if not cube.are_ordered[axis] and (cells := cube.num_cells[axis]) is not None
            else _Normal(centre, WIDTHS[beliefs[name].confidence])
            for axis, centre in self._centres.items()
            for name in [cube.names[axis]]
        }

    def expected(self, point: Vector) -> Vector:
        """`point` [D] with what is expected in place."""
        moved = point.copy()
        for axis, centre in self._centres.items():
            moved[axis] = centre
        return moved

    def drawn(self, points: Points, power: float) -> Points:
        """Even draws [n, D] become draws from the density: its quantiles."""
        moved = points.copy()
        for axis, density in self._axes.items():
            moved[:, axis] = density.quantile(points[:, axis], power)
        return moved

    def log_density(self, trials: Settled, power: float) -> Vector:
        """Of each [n]; 0 for one of whose params nothing is believed, or that has none of the others."""
        total = np.zeros(len(trials.points))
        for axis, density in self._axes.items():
            total += np.where(trials.present[:, axis], density.log(trials.points[:, axis], power), 0.0)
        return total


class _Normal:
    """Cut off at 0 and 1."""

    def __init__(self, centre: float, width: float) -> None:
        self._centre, self._width = centre, width

    def quantile(self, shares: Vector, power: float) -> Vector:
        normal = NormalDist(self._centre, self._width / math.sqrt(power))
        low, high = normal.cdf(0), normal.cdf(1)
        heights = np.clip(low + shares * (high - low), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
        places: Vector = np.clip([normal.inv_cdf(height) for height in heights], 0, 1)
        return places

    def log(self, places: Vector, power: float) -> Vector:
        normal = NormalDist(self._centre, self._width / math.sqrt(power))
        height = math.log(normal.pdf(self._centre) / (normal.cdf(1) - normal.cdf(0)))
        return height - 0.5 * power * ((places - self._centre) / self._width) ** 2


class _Odds:
    """Over cells of equal width, of which one is more likely."""

    def __init__(self, num_cells: int, centre: float, odds: float) -> None:
        self._num_cells, self._expected, self._odds = num_cells, int(centre * num_cells), odds

    def quantile(self, shares: Vector, power: float) -> Vector:
        ends = np.concatenate([[0.0], np.cumsum(self._weights(power))])
        places: Vector = np.interp(shares, ends, np.linspace(0, 1, self._num_cells + 1))
        return places

    def log(self, places: Vector, power: float) -> Vector:
        cells = np.minimum(places * self._num_cells, self._num_cells - 1).astype(int)
        logs: Vector = np.log(self._num_cells * self._weights(power)[cells])
        return logs

    def _weights(self, power: float) -> Vector:
        weights = np.ones(self._num_cells)
        weights[self._expected] = self._odds**power
        shares: Vector = weights / weights.sum()
        return shares
