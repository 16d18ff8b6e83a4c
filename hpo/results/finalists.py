"""Finalists: the best trials trained again on fresh luck, so that the winner is not the luckiest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import stdtrit

from hpo.config import Config
from hpo.records import EndKind, Goal, TrialRecord
from hpo.results.table import rank

NUM_DRAWS = 100_000
"""By which the probability of being best is estimated: to about 0.002."""


class Finalists(Config):
    """Who trains again, and how often; each repetition costs a whole trial."""

    count: Annotated[int, Field(ge=1)] = 5
    """The best trials of the search that went to the end."""
    seeds: Annotated[int, Field(ge=1)] = 3
    """Repetitions of each; the first of all finalists share their batches, as do the second, and so on."""

    def of(self, trials: Sequence[TrialRecord], goal: Goal) -> list[TrialRecord]:
        """The best `count` of a search that went to the end, the best first; fewer where there are not as many."""
        through = [trial for trial in trials if trial.repeats is None and _is_complete(trial)]
        return rank(through, goal)[: self.count]


@final
@dataclass(frozen=True, kw_only=True)
class Finalist:
    """How one did on fresh luck; what it was chosen by, the search's own value, counts no more."""

    trial_id: int
    searched: float
    """Its value in the search, which flatters it: it was chosen by that."""
    values: tuple[float | None, ...]
    """By seed index, from 1; none of a repetition that did not go to the end."""
    mean: float | None
    """None if any repetition is missing."""
    half_width: float | None
    """Of the 95 % interval of the mean by Student's t; none of a single repetition."""
    probability: float | None
    """That it is the best; none where that cannot be said, as with one repetition each."""
    is_chosen: bool
    """The smallest network whose mean lies within one standard error of the best."""


def judge(finalists: Finalists, trials: Sequence[TrialRecord], goal: Goal) -> list[Finalist]:
    """All finalists, the best mean first; nobody while their repetitions have not ended.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3): of those who are as good as the best, as far as
    their repetitions tell, the simplest, which here is the one with the fewest parameters.

    Args:
        finalists: how many there are, and how often they train.
        trials: of the sweep, repetitions among them.
        goal: which way values are better.
    """
    found = {(trial.repeats, trial.seed_index): trial for trial in trials}
    chosen = finalists.of(trials, goal)
    seeds = range(1, finalists.seeds + 1)
    again = [[found.get((trial.trial_id, seed)) for seed in seeds] for trial in chosen]
    if not chosen or any(each is None or each.end is None for row in again for each in row):
        return []
    values = [[None if each is None else _value(each) for each in row] for row in again]
    costs = np.array([[math.nan if value is None else goal.as_cost(value) for value in row] for row in values])
    means = costs.mean(axis=1)  # NaN where one is missing
    order = sorted(range(len(chosen)), key=lambda index: (math.isnan(means[index]), means[index], index))
    winner = _simplest(order, chosen, costs)
    probabilities = _probabilities(costs)
    return [
        Finalist(
            trial_id=chosen[index].trial_id,
            searched=_value(chosen[index]) or 0.0,
            values=tuple(values[index]),
            mean=None if math.isnan(means[index]) else goal.as_cost(float(means[index])),
            half_width=_half_width(costs[index]),
            probability=None if probabilities is None else float(probabilities[index]),
            is_chosen=index == winner,
        )
        for index in order
    ]


def winner(finalists: Finalists | None, trials: Sequence[TrialRecord], goal: Goal) -> TrialRecord | None:
    """The finalist that is chosen; without finalists, or where none is sound, none."""
    if finalists is None:
        return None
    chosen = {each.trial_id for each in judge(finalists, trials, goal) if each.is_chosen}
    return next((trial for trial in trials if trial.trial_id in chosen), None)


def _simplest(order: Sequence[int], chosen: Sequence[TrialRecord], costs: npt.NDArray[np.float64]) -> int | None:
    """The index of the smallest network within one standard error of the best; of equals the better one."""
    best = costs[order[0]]
    if np.isnan(best).any():
        return None
    margin = best.std(ddof=1) / math.sqrt(len(best)) if len(best) > 1 else 0.0
    near = [index for index in order if costs[index].mean() <= best.mean() + margin]
    return min(near, key=lambda index: _num_parameters(chosen[index]))


def _probabilities(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Of each finalist's true mean being the least, [k]; ties count in parts.

    Each mean is drawn from Student's t about the one that was measured, which is its posterior under the usual flat
    prior (Gelman et al. 2013, section 3.2). One with a repetition missing is never the best.

    Args:
        costs: [k finalists, n repetitions].
    """
    num = costs.shape[1]
    if num < 2:
        return None
    errors = costs.std(axis=1, ddof=1, keepdims=True) / math.sqrt(num)
    noise = np.random.default_rng(0).standard_t(num - 1, size=(len(costs), NUM_DRAWS))
    draws = np.where(np.isnan(errors), math.inf, costs.mean(axis=1, keepdims=True) + errors * noise)
    is_least = draws == draws.min(axis=0)
    shares: npt.NDArray[np.float64] = (is_least / is_least.sum(axis=0)).mean(axis=1)
    return shares if np.isfinite(costs).all(axis=1).any() else None


def _half_width(costs: npt.NDArray[np.float64]) -> float | None:
    if len(costs) < 2 or np.isnan(costs).any():
        return None
    return float(stdtrit(len(costs) - 1, 0.975) * costs.std(ddof=1) / math.sqrt(len(costs)))


def _num_parameters(trial: TrialRecord) -> float:
    assert trial.end is not None
    return trial.end.metrics.get("num_parameters", math.inf)


def _is_complete(trial: TrialRecord) -> bool:
    return trial.end is not None and trial.end.kind is EndKind.COMPLETE


def _value(trial: TrialRecord) -> float | None:
    return trial.end.value if trial.end is not None and trial.end.kind is EndKind.COMPLETE else None
