"""Trials as points of plots: what each came to, and which of them are no numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hpo.records import EndKind, Goal, Params, TrialRecord

MOST_SHOWN = 4.0
"""Distances from the best value to the quartile of the better ones that a plot shows; others stand at its edge."""
MARGIN = 0.05
"""Of what a plot shows, above and below."""


class Mark(StrEnum):
    """What is to be seen at once of a trial."""

    COMPLETE = "complete"
    STOPPED = "stopped early"
    OPEN = "under way"
    INFEASIBLE = "diverged or failed"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trial of the search."""

    trial_id: int
    mark: Mark
    value: float | None
    """The last one that it had; none if it is infeasible, or was never measured."""
    params: Params


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The values that a plot shows."""

    metric: str
    """What they are of."""
    goal: Goal
    """Which way they are better."""
    low: float
    high: float
    num_beyond: int
    """Values that are worse than all of these."""

    def clip(self, value: float) -> float:
        """The nearest that is shown."""
        return min(max(value, self.low), self.high)


def points_of(trials: Iterable[TrialRecord]) -> list[Point]:
    """Every trial of the search, in the order in which they were proposed; repetitions are none."""
    searched = sorted((trial for trial in trials if trial.repeats is None), key=lambda trial: trial.trial_id)
    return [_point(trial) for trial in searched]


def best_so_far(points: Sequence[Point], goal: Goal) -> list[tuple[int, float]]:
    """By trial that went to the end, the best value of such trials up to it."""
    found: list[tuple[int, float]] = []
    for point in points:
        if point.mark is Mark.COMPLETE and point.value is not None:
            is_better = not found or goal.is_better(point.value, found[-1][1])
            found.append((point.trial_id, point.value if is_better else found[-1][1]))
    return found


def scale_of(values: Sequence[float], metric: str, goal: Goal) -> Scale:
    """From the best value to the worst, but no farther than four times the way to the best quarter's end; and a margin.

    Trials that learned nothing, or were stopped early, would leave no room for the differences among the others.
    """
    costs = np.sort([goal.as_cost(value) for value in values])
    best, worst = float(costs[0]), float(costs[-1])
    limit = best + MOST_SHOWN * (float(np.quantile(costs, 0.25)) - best)
    shown = min(worst, limit) if limit > best else worst
    margin = MARGIN * (shown - best) or MARGIN * abs(best) or MARGIN
    ends = sorted((goal.as_cost(best - margin), goal.as_cost(shown + margin)))
    num_beyond = int((costs > shown).sum())
    return Scale(metric=metric, goal=goal, low=ends[0], high=ends[1], num_beyond=num_beyond)


def _point(trial: TrialRecord) -> Point:
    last = None if not trial.values else trial.values[max(trial.values)]
    value = last if trial.end is None else trial.end.value
    value = value if value is not None and math.isfinite(value) else None
    mark = _mark(None if trial.end is None else trial.end.kind, value)
    return Point(
        trial_id=trial.trial_id, mark=mark, value=None if mark is Mark.INFEASIBLE else value, params=trial.params
    )


def _mark(kind: EndKind | None, value: float | None) -> Mark:
    match kind:
        case None:
            return Mark.OPEN
        case EndKind.STOPPED:
            return Mark.STOPPED
        case EndKind.COMPLETE if value is not None:
            return Mark.COMPLETE
        case _:
            return Mark.INFEASIBLE
