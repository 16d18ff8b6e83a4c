"""Which trials travel together."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SEGMENT_S = 2.0
"""A segment should last about this long: handing one out costs some 50 ms, and news of it comes at its end."""
HAND_OUT_S = 0.05
"""What handing out a segment and taking in its end costs the driver, with some to spare: with many slots segments last
longer, or they would wait for it (experiments/benchmarks/nodes.md).
"""
LEAST_FULL, MOST_FULL = 16, 128
"""Between these lies how many trials a cohort may hold: more fill more lanes, fewer let the sampler learn sooner."""
NUM_WAVES = 4
"""Where it can, a sweep asks for its trials in at least so many waves over all slots."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A trial that waits in line at a rung."""

    trial_id: int
    epoch: int
    signature: str = ""
    """Trials of one signature can train as lanes of one program."""


def most_in_cohort(num_trials: int, num_slots: int) -> int:
    """How many trials a cohort may hold, in a sweep of `num_trials`."""
    return max(LEAST_FULL, min(MOST_FULL, num_trials // (NUM_WAVES * num_slots)))


def cohort_size(*, num_epochs: int, seconds_per_epoch: float | None, num_slots: int, most: int) -> int:
    """How many trials fill a segment of `num_epochs`.

    Args:
        num_epochs: length of the segment.
        seconds_per_epoch: of one trial, as measured; none before the first report.
        num_slots: segments that run at once. With a single one there is nobody to share with, and the size must not
            depend on a clock, so that a sweep repeats exactly.
        most: from `most_in_cohort`.
    """
    if num_slots == 1:
        return most
    if seconds_per_epoch is None:
        return 1
    segment_s = max(SEGMENT_S, HAND_OUT_S * num_slots)
    return max(1, min(most, round(segment_s / (num_epochs * seconds_per_epoch))))


def full_cohort(ready: Sequence[Standing], sizes: Mapping[int, int]) -> list[Standing]:
    """The cohort that is full at the deepest rung, lanes before loners; empty if none is.

    Args:
        ready: in order of arrival.
        sizes: how many make a full cohort, by the epoch they stand at.
    """
    for epoch, standing in _deepest_first(ready):
        if len(standing) >= sizes[epoch]:
            return _fullest_first(standing)[: sizes[epoch]]
    return []


def remaining_cohort(ready: Sequence[Standing], num_idle: int) -> list[Standing]:
    """When nothing fills a cohort any more: an idle slot's share of those at the deepest rung."""
    for _, standing in _deepest_first(ready):
        return _fullest_first(standing)[: math.ceil(len(standing) / num_idle)]
    return []


def _deepest_first(ready: Sequence[Standing]) -> list[tuple[int, list[Standing]]]:
    by_epoch = defaultdict(list)
    for standing in ready:
        by_epoch[standing.epoch].append(standing)
    return sorted(by_epoch.items(), reverse=True)


def _fullest_first(standing: Sequence[Standing]) -> list[Standing]:
    """Signatures together, the one with the most trials first; otherwise in order of arrival."""
    num_alike = Counter(waiting.signature for waiting in standing)
    return sorted(standing, key=lambda waiting: (-num_alike[waiting.signature], waiting.signature))
