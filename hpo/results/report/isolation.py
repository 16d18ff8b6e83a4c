"""Isolation: how good each value of a param can be made by all the others."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.records import Goal, ParamValue
from hpo.results.report.wording import short
from hpo.spaces import Choice, Constant, Domain, Ordinal, QRandInt, RandInt
from hpo.spaces.numbers import LogRandInt, LogUniform, QLogUniform
from hpo.spaces.values import identity, shown

NUM_BEST = 3
"""Trials that stand for a bucket."""
NUM_BUCKETS = 5
"""Of a range."""
MOST_LEVELS = 8
"""Values of a grid that have a bucket each."""
NUM_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Trials that have one value of a param, or nearly so."""

    label: str
    num_trials: int
    mean: float
    """Of their best 3, or of as many as there are."""
    low: float | None
    """Of the 95 % interval of that mean, by the bootstrap; none of a single trial."""
    high: float | None


def isolate(domain: Domain, trials: Sequence[tuple[ParamValue, float]], goal: Goal) -> list[Bucket]:
    """The buckets of a param that hold trials, in order.

    Args:
        domain: of the param.
        trials: what each has of it, and what it came to.
        goal: which way they are better.
    """
    labels, places = _places(domain, [param for param, _ in trials])
    costs = np.array([goal.as_cost(value) for _, value in trials])
    generator = np.random.default_rng(0)
    found = []
    for place, label in enumerate(labels):
        own = costs[places == place]
        if len(own):
            low, high = _interval(own, generator)
            ends = sorted(goal.as_cost(end) for end in (low, high)) if len(own) > 1 else (None, None)
            mean = goal.as_cost(float(_mean_of_best(own)))
            found.append(Bucket(label=label, num_trials=len(own), mean=mean, low=ends[0], high=ends[1]))
    return found


def is_log(domain: Domain) -> bool:
    """Whether each factor of ten counts as much as the next."""
    return isinstance(domain, LogUniform | QLogUniform | LogRandInt)


def is_categorical(domain: Domain) -> bool:
    """Whether values are told apart by name, or are a few in order."""
    return isinstance(domain, Choice | Ordinal | Constant)


def _places(domain: Domain, params: Sequence[ParamValue]) -> tuple[list[str], NDArray[np.int64]]:
    """Labels of all buckets, and in which each trial lies, [n]."""
    levels = _levels(domain)
    if levels is not None:
        known = {identity(level): place for place, level in enumerate(levels)}
        return [shown(level) for level in levels], np.array([known[identity(value)] for value in params])
    assert not isinstance(domain, Choice | Ordinal | Constant)
    spread = np.geomspace if is_log(domain) else np.linspace
    edges = spread(domain.min, domain.max, NUM_BUCKETS + 1)
    labels = [f"{short(low)} to\n{short(high)}" for low, high in itertools.pairwise(edges.tolist())]
    turned = np.log if is_log(domain) else np.asarray
    low, high = turned(domain.min), turned(domain.max)
    shares = (turned(np.array(params, dtype=float)) - low) / (high - low)
    return labels, np.minimum((shares * NUM_BUCKETS).astype(int), NUM_BUCKETS - 1)


def _levels(domain: Domain) -> Sequence[ParamValue] | None:
    """All values, where they are few."""
    match domain:
        case Choice() | Ordinal():
            return domain.values
        case Constant():
            return (domain.value,)
        case RandInt() | QRandInt() if (domain.max - domain.min) // getattr(domain, "q", 1) < MOST_LEVELS:
            return range(domain.min, domain.max + 1, getattr(domain, "q", 1))
        case _:
            return None


def _interval(costs: NDArray[np.float64], generator: np.random.Generator) -> tuple[float, float]:
    """Of the mean of the best, over trials drawn again with replacement (Efron 1979): its 2.5 % and 97.5 % quantile."""
    drawn = costs[generator.integers(0, len(costs), (NUM_RESAMPLES, len(costs)))]
    low, high = np.quantile(_mean_of_best(drawn), [0.025, 0.975])
    return float(low), float(high)


def _mean_of_best(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    means: NDArray[np.float64] = np.sort(costs, axis=-1)[..., :NUM_BEST].mean(-1)
    return means
