"""Rungs: the epochs at which trials are compared."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

AUTO_SHARE = 9
"""Full length over the first rung, where nothing else is known."""

MinEpochs = Annotated[int, Field(ge=1)] | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """One ladder, and its trials."""

    rungs: tuple[int, ...]
    num_trials: tuple[int, ...]
    """Expected to reach each rung."""


def first_rung(min_epochs: MinEpochs, max_epochs: int) -> int:
    """As set; auto is a ninth here, but a sweep, which knows its warm-up and data, puts a number in its place."""
    return max(1, round(max_epochs / AUTO_SHARE)) if min_epochs == "auto" else min_epochs


def rungs_of(min_epochs: MinEpochs, eta: int, max_epochs: int) -> tuple[int, ...]:
    """min_epochs times powers of eta, and the end."""
    rungs = []
    epoch = first_rung(min_epochs, max_epochs)
    while epoch < max_epochs:
        rungs.append(epoch)
        epoch *= eta
    return (*rungs, max_epochs)


def epochs_to_climb(rungs: Sequence[int], eta: int, num_trials: int, controls: float = 0.0) -> float:
    """Over all trials, if each rung but the last lets 1/eta go on, and a share of `controls` goes on everywhere."""
    lengths = (to - start for start, to in itertools.pairwise((0, *rungs)))
    return sum(_num_left(eta**k, num_trials, controls) * length for k, length in enumerate(lengths))


def trials_at_rungs(rungs: Sequence[int], eta: int, num_trials: int, controls: float = 0.0) -> tuple[int, ...]:
    """Expected to reach each rung, rounded down; see `epochs_to_climb`."""
    left = (_num_left(eta**k, num_trials, controls) for k in range(len(rungs)))
    return tuple(max(min(1, num_trials), int(num + 1e-9)) for num in left)


def _num_left(factor: int, num_trials: int, controls: float) -> float:
    """One in `factor`, and whoever of the others is a control."""
    return num_trials / factor + controls * (num_trials - num_trials / factor)
