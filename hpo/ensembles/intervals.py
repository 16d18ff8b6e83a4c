"""How far a mean over examples may be off."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from hpo.ensembles.arrays import Array
from hpo.errors import EnsembleError

NUM_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean, and where it would lie were other examples of the same kind drawn."""

    mean: float
    low: float
    high: float


def interval(values: Array | NDArray[np.bool_], seed: int, level: float = 0.95) -> Interval:
    """The percentile bootstrap (Efron 1979) of the mean of values [n], one of each example.

    Of an accuracy the values are `are_right`, of an NLL `nlls`.

    Raises:
        EnsembleError: if there are none, or one is not finite.
    """
    if not values.size or not np.isfinite(values).all():
        raise EnsembleError(
            f"An interval needs finite values, and at least one, but of {values.size} are "
            f"{np.count_nonzero(~np.isfinite(values))} not. Leave this predictor out."
        )
    generator = np.random.default_rng(seed)
    num = len(values)
    means = [values[generator.integers(num, size=num)].mean() for _ in range(NUM_RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(values.mean()), low=float(low), high=float(high))


def interval_of_difference(first: Array, second: Array, seed: int, level: float = 0.95) -> Interval:
    """The same of `first - second`, two predictors' values of the same examples in the same order.

    Both are drawn together: what makes an example hard for both does not blur the difference.
    """
    if first.shape != second.shape:
        raise EnsembleError(
            f"A paired difference needs values of the same examples, but there are {len(first)} and {len(second)}."
        )
    return interval(first.astype(np.float64) - second, seed, level)


def interval_over_seeds(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of one value per seed, and where it would lie with other seeds, by Student's t.

    Raises:
        EnsembleError: if there are fewer than two.
    """
    if len(values) < 2:
        raise EnsembleError(f"An interval over seeds needs two or more, but there are {len(values)}. Train more.")
    mean = float(np.mean(values))
    half_width = float(stdtrit(len(values) - 1, (1 + level) / 2) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean=mean, low=mean - half_width, high=mean + half_width)


def standard_error(values: Array) -> Array:
    """Of means over the last axis: what the bootstrap's comes to with ever more resamples, with no draw at all.

    Efron and Tibshirani 1993, equation 5.12: the plug-in standard deviation, divided by the root of n.
    """
    error: Array = values.std(axis=-1) / np.sqrt(values.shape[-1])
    return error
