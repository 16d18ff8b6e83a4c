"""Whether more trials would pay."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from hpo.records import Goal, TrialRecord

Array = npt.NDArray[np.float64]

NUM_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class ExpectedBest:
    """Of `num_trials` trials, drawn from those that there are."""

    num_trials: int
    value: float
    """On average over all ways to draw them."""
    low: float
    """From here to `high` it lies with 95 %, by the bootstrap of trials."""
    high: float


def expected_best(values: Sequence[float], goal: Goal, counts: Sequence[int]) -> list[ExpectedBest]:
    """The best value that fewer trials of the same kind would have had, for each of `counts`.

    The mean over all subsets, which has no bias (Tang et al. 2020, "Showing your work doesn't always work"). Of a
    sampler that learns, the first trials were worse than this says.

    Args:
        values: of the trials, all finite.
        goal: which way they are better.
        counts: numbers of trials, each from 1 to all of them.
    """
    costs = np.sort([goal.as_cost(value) for value in values])
    weights = np.stack([_weights(len(costs), count) for count in counts])
    generator = np.random.default_rng(0)
    drawn = np.sort(generator.choice(costs, (NUM_RESAMPLES, len(costs))), axis=1) @ weights.T
    means = weights @ costs
    ends = np.quantile(drawn, (0.025, 0.975), axis=0)
    found = []
    for row, count in enumerate(counts):
        low, high = sorted(goal.as_cost(float(end)) for end in ends[:, row])
        found.append(ExpectedBest(num_trials=count, value=goal.as_cost(float(means[row])), low=low, high=high))
    return found


def values_of(trials: Sequence[TrialRecord], goal: Goal) -> list[float]:
    """What each trial came to: one that was stopped, what it had by then; one that failed or diverged, the worst."""
    last = [_last(trial) for trial in trials if trial.end is not None]
    measured = [value for value in last if value is not None]
    if not measured:
        return []
    worst = max(measured, key=goal.as_cost)
    return [worst if value is None else value for value in last]


def of_powers(num: int) -> list[int]:
    """1, 2, 4 and so on, and at last all."""
    return [*(count for count in (1 << power for power in range(num.bit_length())) if count < num), num]


def _last(trial: TrialRecord) -> float | None:
    value = None if trial.end is None else trial.end.value
    return value if value is not None and math.isfinite(value) else None


def _weights(num: int, count: int) -> Array:
    """How often each of `num`, from the least, is the least of `count`: C(num above it, count - 1) / C(num, count)."""
    left = np.arange(num - 1, -1, -1, dtype=np.float64)
    logs = np.full(num, -np.inf)
    enough = left >= count - 1
    logs[enough] = _log_choose(left[enough], count - 1) - _log_choose(np.array(float(num)), count)
    weights: Array = np.exp(logs)
    return weights


def _log_choose(num: Array, count: int) -> Array:
    found: Array = gammaln(num + 1) - gammaln(count + 1) - gammaln(num - count + 1)
    return found
