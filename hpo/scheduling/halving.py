"""Asynchronous successive halving (Li et al. 2020), in both its forms, and no scheduler at all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.config import Config
from hpo.scheduling.controls import Controls
from hpo.scheduling.ladder import MinEpochs, epochs_to_climb, rungs_of, trials_at_rungs
from hpo.scheduling.ranking import Ranking

Compare = Literal["last", "best", "averaged"]


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

    def decide(self, cost: float, seen: Ranking) -> "Verdict":
        """Always continue; see `Asha.decide`."""
        rank = rank_of(cost, seen)
        return Verdict(continues=math.isfinite(cost), cost=cost, rank=rank, num_seen=len(seen), cutoff=math.inf)


class Asha(Config):
    """At each rung a trial goes on if it is in the best 1/eta of all that have been there so far."""

    kind: Literal["asha"] = "asha"
    form: Literal["stopping", "promotion"] = "stopping"
    """When that is decided: once, as it arrives, or, pausing there, whenever there is room to train (Algorithm 2).

    To the sampler, a trial that pauses is one that was stopped there, until it goes on.
    """
    min_epochs: MinEpochs = "auto"
    """The first rung; auto: a ninth of full length or, if later, an epoch after warm-up, or 200 steps or a third."""
    eta: Annotated[int, Field(ge=2)] = 3
    """Of eta trials at a rung, one goes on; each rung is eta times as far as the one before."""
    compare: Compare = "last"
    """By what trials are compared: their value at the rung, their best so far, or that of their averaged weights."""
    controls: Controls = 0.05
    """Share of the trials to be stopped that train to the end all the same, to see what stopping costs."""
    doubts: Literal["auto", "always", "never"] = "auto"
    """Whether a rung stops nobody while its values agree with later ones no better than by chance.

    auto: if `min_epochs` is auto; in the promotion form never. Asked are 8 trials or more that have come farther.
    """

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.form == "promotion" and self.doubts != "auto":
            raise ValueError(
                f"doubts must be auto with form promotion, which stops nobody at a rung, but got {self.doubts}. "
                "Drop it, or use form: stopping."
            )
        return self

    @property
    def is_doubting(self) -> bool:
        """Whether rungs are asked what they have told."""
        return self.doubts == "always" or (
            self.doubts == "auto" and self.min_epochs == "auto" and self.form == "stopping"
        )

    def rungs(self, max_epochs: int) -> tuple[int, ...]:
        """min_epochs times powers of eta, and the end."""
        return rungs_of(self.min_epochs, self.eta, max_epochs)

    def planned_epochs(self, num_trials: int, max_epochs: int) -> float:
        """Epochs that `num_trials` are expected to train, over all of them, if each rung keeps 1/eta."""
        return epochs_to_climb(self.rungs(max_epochs), self.eta, num_trials, self.controls)

    def trials_per_rung(self, num_trials: int, max_epochs: int) -> tuple[int, ...]:
        """Expected to reach each rung."""
        return trials_at_rungs(self.rungs(max_epochs), self.eta, num_trials, self.controls)

    def decide(self, cost: float, seen: Ranking) -> "Verdict":
        """Continue if `cost` is in the best 1/eta of `seen`, itself included; to be promoted, whoever is sound waits.

        Args:
            cost: the trial's value at the rung, lower is better; NaN and infinity always stop.
            seen: the costs of every trial that has reached the rung, this one's included.
        """
        verdict = halved(cost, seen, self._num_kept(len(seen)))
        return verdict if self.form == "stopping" else replace(verdict, continues=math.isfinite(cost))

    def choose(self, costs: Mapping[int, Mapping[int, float]], waiting: Mapping[int, int]) -> list[int]:
        """Trials to promote, from the deepest rung that has any, the best first; none: begin a new one.

        Args:
            costs: rung -> trial_id -> cost, of every trial that has been there; lower is better.
            waiting: trial_id -> the rung at which it waits.
        """
        for rung, seen in sorted(costs.items(), reverse=True):
            ranked = sorted((cost, trial_id) for trial_id, cost in seen.items() if math.isfinite(cost))
            best = [trial_id for _, trial_id in ranked[: self._num_kept(len(seen))]]
            if promotable := [trial_id for trial_id in best if waiting.get(trial_id) == rung]:
                return promotable
        return []

    def _num_kept(self, num_seen: int) -> int:
        """Of as many at a rung; in the stopping form the first always goes on."""
        return max(num_seen // self.eta, 1 if self.form == "stopping" else 0)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a trial goes on from a rung, and what that was judged by."""

    continues: bool
    cost: float
    """Of the trial, as it was compared."""
    rank: int
    """Of the trial among all seen, from 1."""
    num_seen: int
    cutoff: float
    """The worst cost that goes on; minus infinity where none would."""
    doubt: float | None = None
    """How values at the rung agree with later ones, if it lets the trial go on for that alone; see `agreement`."""


def halved(cost: float, seen: Ranking, num_kept: int) -> Verdict:
    """Continue if `cost` is finite and among the best `num_kept` of `seen`, itself included."""
    cutoff = seen.worst_of_best(num_kept)
    if cutoff is None:
        cutoff = math.inf if num_kept else -math.inf
    rank = rank_of(cost, seen)
    continues = math.isfinite(cost) and rank <= num_kept
    return Verdict(continues=continues, cost=cost, rank=rank, num_seen=len(seen), cutoff=cutoff)


def best(course: Sequence[float]) -> float:
    """The least of the costs so far; the last, if that is not finite."""
    return min(filter(math.isfinite, course)) if math.isfinite(course[-1]) else course[-1]


def rank_of(cost: float, seen: Ranking) -> int:
    """Of `cost` among `seen`, from 1; last where it is not finite."""
    return 1 + seen.num_better(cost) if math.isfinite(cost) else len(seen)
