"""Finalists: the best trials trained again on fresh luck, so that the winner is not the luckiest."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from pydantic import Field
from scipy.special import stdtrit

from hpo.config import Config
from hpo.records import EndKind, Goal, TrialRecord
from hpo.results.draws import NUM_DRAWS, Array, draw_means, shares_least
from hpo.results.table import rank


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
class Difference:
    """Of what a finalist scores and what the incumbent does, whom the search chose, paired by seed."""

    mean: float
    """In units of the metric, so that above 0 is better only where more is."""
    low: float
    """From here to `high` it lies with 95 %: see `draw_means`."""
    high: float
    num_examples: int | None
    """Validation examples whose luck is in it; none where it is that of seeds alone."""


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
    """That it is the best, paired by seed and by example; none where that cannot be said, as with one repetition each.
    """
    difference: Difference | None
    """To the incumbent; none of that itself, and where either misses a repetition or has one alone."""
    is_chosen: bool
    """The smallest network whose mean lies within one standard error of the best."""


def judge(
    finalists: Finalists, trials: Sequence[TrialRecord], goal: Goal, examples: Mapping[int, Array] | None = None
) -> list[Finalist]:
    """All finalists, the best mean first; nobody while their repetitions have not ended.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3): of those who are as good as the best, as far as
    their repetitions tell, the simplest, which here is the one with the fewest parameters.

    Args:
        finalists: how many there are, and how often they train.
        trials: of the sweep, repetitions among them.
        goal: which way values are better.
        examples: by the id of a repetition, its cost on each validation example [e]; used where all are there.
    """
    found = {(trial.repeats, trial.seed_index): trial for trial in trials if trial.end is not None}
    chosen = finalists.of(trials, goal)
    asked = [[(trial.trial_id, seed) for seed in range(1, finalists.seeds + 1)] for trial in chosen]
    if not chosen or any(each not in found for row in asked for each in row):
        return []
    again = [[found[each] for each in row] for row in asked]
    values = [[_value(each) for each in row] for row in again]
    costs = np.array([[math.nan if value is None else goal.as_cost(value) for value in row] for row in values])
    means = costs.mean(axis=1)  # NaN where one is missing
    order = sorted(range(len(chosen)), key=lambda index: (math.isnan(means[index]), means[index], index))
    picked = _simplest(order, chosen, costs)
    by_example = _by_example(again, costs, examples or {})
    drawn = _drawn(costs, by_example)
    probabilities = None if drawn is None else shares_least(drawn)
    return [
        Finalist(
            trial_id=chosen[index].trial_id,
            searched=_value(chosen[index]) or 0.0,
            values=tuple(values[index]),
            mean=None if math.isnan(means[index]) else goal.as_cost(float(means[index])),
            half_width=_half_width(costs[index]),
            probability=None if probabilities is None else float(probabilities[index]),
            difference=None if drawn is None else _difference(means, drawn, index, goal, by_example),
            is_chosen=index == picked,
        )
        for index in order
    ]


def winner(finalists: Finalists | None, trials: Sequence[TrialRecord], goal: Goal) -> TrialRecord | None:
    """The finalist that is chosen; without finalists, or where none is sound, none."""
    if finalists is None:
        return None
    chosen = {each.trial_id for each in judge(finalists, trials, goal) if each.is_chosen}
    return next((trial for trial in trials if trial.trial_id in chosen), None)


def _simplest(order: Sequence[int], chosen: Sequence[TrialRecord], costs: Array) -> int | None:
    """The index of the smallest network within one standard error of the best; of equals the better one."""
    best = costs[order[0]]
    if np.isnan(best).any():
        return None
    margin = best.std(ddof=1) / math.sqrt(len(best)) if len(best) > 1 else 0.0
    near = [index for index in order if costs[index].mean() <= best.mean() + margin]
    return min(near, key=lambda index: _num_parameters(chosen[index]))


def _by_example(
    again: Sequence[Sequence[TrialRecord]], costs: Array, examples: Mapping[int, Array]
) -> list[Array | None] | None:
    """Of each finalist the cost [e] of each example, on average over its repetitions; none of one that misses any."""
    rows = [
        [examples.get(each.trial_id) for each in row] if np.isfinite(own).all() else []
        for row, own in zip(again, costs, strict=True)
    ]
    if any(each is None for row in rows for each in row):
        return None
    return [np.mean([each for each in row if each is not None], axis=0) if row else None for row in rows]


def _drawn(costs: Array, by_example: Sequence[Array | None] | None) -> Array | None:
    """See `draw_means`; infinite for those that miss a repetition, and none where nothing can be said."""
    sound = np.isfinite(costs).all(axis=1)
    if costs.shape[1] < 2 or not sound.any():
        return None
    examples = None if by_example is None else np.stack([row for row in by_example if row is not None])
    drawn = np.full((len(costs), NUM_DRAWS), math.inf)
    drawn[sound] = draw_means(costs[sound], examples)
    return drawn


def _difference(
    means: Array, drawn: Array, index: int, goal: Goal, by_example: Sequence[Array | None] | None
) -> Difference | None:
    """To the first, whom the search ranks highest."""
    if index == 0 or math.isnan(means[index]) or math.isnan(means[0]):
        return None
    low, high = sorted(goal.as_cost(float(end)) for end in np.quantile(drawn[index] - drawn[0], [0.025, 0.975]))
    examples = None if by_example is None else by_example[0]
    return Difference(
        mean=goal.as_cost(float(means[index] - means[0])),
        low=low,
        high=high,
        num_examples=None if examples is None else len(examples),
    )


def _half_width(costs: Array) -> float | None:
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
