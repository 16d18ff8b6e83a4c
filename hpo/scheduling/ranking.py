"""Costs in order, kept so as they come: to judge a trial nobody looks at all that came before it."""

import math
import statistics
from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import final


@final
class Ranking:
    """Costs of trials, lower is better; what is not finite comes last."""

    def __init__(self, costs: Iterable[float] = ()) -> None:
        self._ordered = sorted(map(_sound, costs))

    def __len__(self) -> int:
        return len(self._ordered)

    @property
    def num_sound(self) -> int:
        """How many are finite."""
        return bisect_left(self._ordered, math.inf)

    @property
    def median(self) -> float:
        """Infinite where there is none."""
        return statistics.median(self._ordered) if self._ordered else math.inf

    def add(self, cost: float) -> None:
        """One more."""
        insort(self._ordered, _sound(cost))

    def drop(self, cost: float) -> None:
        """One less, which must be there."""
        del self._ordered[bisect_left(self._ordered, _sound(cost))]

    def num_better(self, cost: float) -> int:
        """How many are below `cost`."""
        return bisect_left(self._ordered, _sound(cost))

    def worst_of_best(self, num: int) -> float | None:
        """Of the best `num` that are finite, or of as many as there are; none where there are none."""
        last = min(num, self.num_sound)
        return self._ordered[last - 1] if last else None


def _sound(cost: float) -> float:
    return cost if math.isfinite(cost) else math.inf
