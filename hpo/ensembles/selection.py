"""Which members, and how much of each: log-probabilities and labels in, weights out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.ensembles.arrays import Array, Labels, LogProbs, normalized, of_labels
from hpo.ensembles.candidates import NUM_CONSIDERED, best_first
from hpo.ensembles.intervals import standard_error

NUM_PICKS = 50
"""At most, every member as often as it is picked; as in auto-sklearn."""
SMALLEST_WEIGHT = 0.02
"""A member with less is not worth its latency."""
_SAME = 1e-12
"""Nats below which a difference is rounding."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """An ensemble on the way to the one selected, on the examples of the selection."""

    member: int
    """Picked last."""
    num_members: int
    """Distinct ones; as before, if this one was picked before."""
    nll: float
    """In nats."""
    accuracy: float
    gain: float | None
    """By how much NLL has fallen with this pick; none of the first."""
    standard_error: float | None
    """Of that gain, over examples, paired."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Members with their weights."""

    weights: Array
    """[M], on the simplex; 0 of those left out."""
    path: tuple[Step, ...]
    """Pick after pick; empty where all were weighed at once."""

    @property
    def members(self) -> list[int]:
        """Those with a weight, in their order."""
        return [int(member) for member in np.flatnonzero(self.weights)]


def greedy(
    log_probs: LogProbs,
    labels: Labels,
    size: int,
    num_picks: int = NUM_PICKS,
    min_gain: float = 1.0,
    num_considered: int = NUM_CONSIDERED,
) -> Selection:
    """Pick, with replacement, whatever makes the NLL of the pooled predictions lowest (Caruana et al. 2004).

    The first pick is the best single member. Picking goes on where none gains, for a pick weighs less the more there
    are. Selected is the shortest ensemble on this path than which none gains more than `min_gain` standard errors of
    that gain, paired, over examples. Equals: members already in come first, then they stand in their order. Members
    that give probability 0 to something true, or whose predictions are no numbers, are never picked.

    Args:
        log_probs: [M, n, C].
        labels: [n].
        size: distinct members at most.
        num_picks: at most.
        min_gain: 0 selects the ensemble of lowest NLL on the path.
        num_considered: members to pick from, those of lowest NLL.

    Raises:
        EnsembleError: if no member can be picked, or labels and predictions do not belong together.
    """
    own = of_labels(log_probs, labels)
    picks = _picks(own, size, num_picks, num_considered)
    return _selected(log_probs, labels, picks[: _num_worth_it(own, picks, min_gain)])


def top(log_probs: LogProbs, labels: Labels, size: int) -> Selection:
    """The `size` members of lowest NLL, all with the same weight; fewer where fewer can be picked.

    Raises:
        EnsembleError: as of `greedy`.
    """
    return _selected(log_probs, labels, best_first(of_labels(log_probs, labels), size))


def without_crumbs(weights: Array) -> Array:
    """Weights on the simplex, those below `SMALLEST_WEIGHT` dropped; the largest stays whatever it is."""
    kept = np.where(weights >= min(SMALLEST_WEIGHT, weights.max()), weights, 0.0)
    rest: Array = kept / kept.sum()
    return rest


def _picks(own: Array, size: int, num_picks: int, num_considered: int) -> list[int]:
    picks = best_first(own, size)[:1]
    members = np.array(best_first(own, num_considered))
    summed = own[picks[0]]
    for _ in range(num_picks - 1):
        allowed = members if len(set(picks)) < size else np.unique(picks)
        sums = np.logaddexp(summed, own[allowed])
        means = sums.mean(1)
        alike = np.flatnonzero(means >= means.max() - _SAME)
        first = min(alike, key=lambda row: (allowed[row] not in picks, allowed[row]))
        summed = sums[first]
        picks.append(int(allowed[first]))
    return picks


def _num_worth_it(own: Array, picks: Sequence[int], min_gain: float) -> int:
    nlls = _nlls(own, picks)
    gains = nlls - nlls[nlls.mean(1).argmin()]
    return 1 + int(np.argmax(gains.mean(1) <= np.maximum(_SAME, min_gain * standard_error(gains))))


def _nlls(own: Array, picks: Sequence[int]) -> Array:
    """Of every example by the ensembles of 1, 2, ... picks, [k, n]."""
    sizes = np.arange(1, len(picks) + 1)[:, np.newaxis]
    nlls: Array = np.log(sizes) - np.logaddexp.accumulate(own[list(picks)], axis=0)
    return nlls


def _selected(log_probs: LogProbs, labels: Labels, picks: Sequence[int]) -> Selection:
    counts = Counter(picks)
    weights = np.array([counts[member] for member in range(len(log_probs))]) / len(picks)
    return Selection(weights=without_crumbs(weights), path=tuple(_path(log_probs, labels, picks)))


def _path(log_probs: LogProbs, labels: Labels, picks: Sequence[int]) -> Iterator[Step]:
    rows = np.arange(len(labels))
    summed = np.full(log_probs.shape[1:], -np.inf)
    nlls: Array | None = None
    for number, member in enumerate(picks, start=1):
        summed = np.logaddexp(summed, normalized(log_probs[member]))
        before, nlls = nlls, np.log(number) - summed[rows, labels]
        gains = None if before is None else before - nlls
        yield Step(
            member=member,
            num_members=len(set(picks[:number])),
            nll=float(nlls.mean()),
            accuracy=float((summed.argmax(1) == labels).mean()),
            gain=None if gains is None else float(gains.mean()),
            standard_error=None if gains is None else float(standard_error(gains)),
        )
