"""Asynchronous successive halving (Li et al. 2020), in its stopping form, and no scheduler at all."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config


class NoScheduler(Config):
    """Every trial trains to the end."""

    kind: Literal["none"] = "none"

    def rungs(self, max_epochs: int) -> tuple[int, ...]:
        """Only the end."""
        return (max_epochs,)

    def planned_epochs(self, num_trials: int, max_epochs: int) -> float:
        """Epochs that `num_trials` are expected to train, over all of them."""
        return float(num_trials * max_epochs)

    def trials_per_rung(self, num_trials: int, max_epochs: int) -> tuple[int, ...]:
        """Expected to reach each rung."""
        return (num_trials,)

    def decide(self, cost: float, seen: Sequence[float]) -> "Verdict":
        """Always continue; see `Asha.decide`."""
        return Verdict(continues=math.isfinite(cost), rank=_rank(cost, seen), num_seen=len(seen), cutoff=math.inf)


class Asha(Config):
    """At each rung a trial goes on if it is in the best 1/eta of all that have been there so far."""

    kind: Literal["asha"] = "asha"
    min_epochs: Annotated[int, Field(ge=1)] = 1
    """The first rung: no trial is stopped before."""
    eta: Annotated[int, Field(ge=2)] = 3
    """Of eta trials at a rung, one goes on; each rung is eta times as far as the one before."""

    def rungs(self, max_epochs: int) -> tuple[int, ...]:
        """min_epochs times powers of eta, and the end."""
        rungs = []
        epoch = self.min_epochs
        while epoch < max_epochs:
            rungs.append(epoch)
            epoch *= self.eta
        return (*rungs, max_epochs)

    def planned_epochs(self, num_trials: int, max_epochs: int) -> float:
        """Epochs that `num_trials` are expected to train, over all of them, if each rung keeps 1/eta."""
        rungs = (0, *self.rungs(max_epochs))
        lengths = (to - start for start, to in itertools.pairwise(rungs))
        return sum(num_trials * length / float(self.eta**k) for k, length in enumerate(lengths))

    def trials_per_rung(self, num_trials: int, max_epochs: int) -> tuple[int, ...]:
        """Expected to reach each rung."""
        return tuple(max(1, num_trials // self.eta**k) for k in range(len(self.rungs(max_epochs))))

    def decide(self, cost: float, seen: Sequence[float]) -> "Verdict":
        """Continue if `cost` is in the best 1/eta of `seen`, itself included.

        Args:
            cost: the trial's value at the rung, lower is better; NaN and infinity always stop.
            seen: the costs of every trial that has reached the rung, this one's included.
        """
        ranked = sorted(other for other in seen if math.isfinite(other))
        num_kept = max(1, len(seen) // self.eta)
        cutoff = ranked[min(num_kept, len(ranked)) - 1] if ranked else math.inf
        rank = _rank(cost, seen)
        continues = math.isfinite(cost) and rank <= num_kept
        return Verdict(continues=continues, rank=rank, num_seen=len(seen), cutoff=cutoff)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a trial goes on from a rung, and what that was judged by."""

    continues: bool
    rank: int
    """Of the trial among all seen, from 1."""
    num_seen: int
    cutoff: float
    """The worst cost that goes on."""


def _rank(cost: float, seen: Sequence[float]) -> int:
    return 1 + sum(other < cost for other in seen) if math.isfinite(cost) else len(seen)
