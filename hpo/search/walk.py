"""A descent as it stands: points that were tried, where it is, how far it steps, and what is left to try."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from hpo.search.cube import Points
from hpo.search.steps import NUM_SIZES, Steps

Vector = NDArray[np.float64]
Key = tuple[float, ...]
"""What two points have in common that are the same but for rounding."""


@dataclass(eq=False, kw_only=True)
class Place:
    """A point that was tried, once or more."""

    point: Vector
    """[D], in the cube."""
    number: int
    """Of the first trial here."""
    num_trials: int = 0
    num_ended: int = 0
    costs: list[float] = field(default_factory=list)
    """Of the trials that were complete; lower is better."""
    num_stopped: int = 0
    has_diverged: bool = False

    @property
    def standing(self) -> int:
        """0: measured to the end; 1: stopped before; 2: diverged, or nothing is known."""
        if self.has_diverged:
            return 2
        return 0 if self.costs else 1 if self.num_stopped else 2

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing speaks for it, nor will."""
        return self.standing == 2 and self.num_ended == self.num_trials

    def is_better(self, other: "Place", noise: float) -> bool:
        """Than `other`, by its standing, or by more than one standard error of the difference between mean costs.

        Args:
            other: to compare with.
            noise: standard deviation of a single cost.
        """
        if self.standing != other.standing or not self.costs:
            return self.standing < other.standing
        gain = statistics.fmean(other.costs) - statistics.fmean(self.costs)
        return gain > noise * math.sqrt(1 / len(self.costs) + 1 / len(other.costs))


@final
class Walk:
    """One descent, from its start to where it stands after the places that it was shown."""

    def __init__(self, start: Place, steps: Steps, seen: set[Key]) -> None:
        """`seen`: the places that were shown to descents before; this one adds its own."""
        self.base = start
        """The best place so far."""
        self.heading = np.zeros_like(start.point)
        """The last move [D]."""
        self.size = 0
        """Of steps; see `Steps`."""
        self._steps = steps
        self._seen = seen
        self._unseen = self._unseen_around()
        self._shorten()

    @property
    def is_over(self) -> bool:
        """Whether its smallest steps gain nothing, or it has never got anywhere."""
        return self.size == NUM_SIZES or self.base.is_hopeless

    def visit(self, place: Place, noise: float) -> None:
        """Take a place into account where a trial has ended, and move there if it is better."""
        key = key_of(place.point)
        self._seen.add(key)
        self._unseen.discard(key)
        if place.is_better(self.base, noise):
            self.heading = place.point - self.base.point
            self.base = place
            self.size = min(self.size, NUM_SIZES - 1)
            self._unseen = self._unseen_around()
        self._shorten()

    def around(self) -> Points:
        """The neighbours at the present size of steps [n, D]."""
        return self._steps.neighbours(self.base.point, self.size)

    def _shorten(self) -> None:
        """While no neighbour is left that could be better."""
        while not self._unseen and self.size < NUM_SIZES:
            self.size += 1
            self._unseen = self._unseen_around()

    def _unseen_around(self) -> set[Key]:
        return set(map(key_of, self.around())) - self._seen


def key_of(point: Vector) -> Key:
    """To nine digits."""
    return tuple(np.round(point, 9).tolist())


def noise_among(places: Iterable[Place]) -> float:
    """Standard deviation of costs at the same place, over all places that have several; 0 while none has."""
    repeated = [place.costs for place in places if len(place.costs) > 1]
    if not repeated:
        return 0.0
    squares = sum(statistics.variance(costs) * (len(costs) - 1) for costs in repeated)
    return math.sqrt(squares / sum(len(costs) - 1 for costs in repeated))
