"""Rungs that have told nothing: where values agree with later ones no better than chance, nobody is stopped."""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

FEWEST = 8
"""Trials that must have come farther before a rung is doubted."""


def agreement(rung: int, costs: Mapping[int, Mapping[int, float]]) -> float | None:
    """Spearman's correlation of the costs at a rung and at the farthest later one that 8 trials have come to.

    Those that come farther are the best at the rung, and controls. Among the best alone a correlation is weaker than
    among all, but no less than 0 for that: a rung is in doubt only when it is not above 0.

    Args:
        rung: in question.
        costs: rung -> trial_id -> cost, of every trial that has been there; what is not finite does not count.

    Returns:
        None where fewer have come farther, or all are alike.
    """
    for later in sorted((other for other in costs if other > rung), reverse=True):
        pairs = [(costs[rung].get(trial_id, math.nan), cost) for trial_id, cost in costs[later].items()]
        pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
        if len(pairs) >= FEWEST:
            here, there = zip(*pairs, strict=True)
            is_flat = len(set(here)) == 1 or len(set(there)) == 1
            return None if is_flat else statistics.correlation(_ranks(here), _ranks(there))
    return None


def _ranks(costs: Sequence[float]) -> list[int]:
    """Twice the mean rank among equals."""
    ordered = sorted(costs)
    return [bisect_left(ordered, cost) + bisect_right(ordered, cost) for cost in costs]
