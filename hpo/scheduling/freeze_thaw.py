"""Freeze and thaw: who trains next is decided when a slot is free, not when a trial arrives at a rung."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config
from hpo.scheduling.halving import Verdict, rank_of
from hpo.scheduling.ladder import MinEpochs, epochs_to_climb, rungs_of, trials_at_rungs
from hpo.scheduling.ranking import Ranking


class FreezeThaw(Config):
    """Every trial pauses at every rung; whoever promises most trains next, be it paused or new (Swersky et al. 2014).

    What a trial promises is the improvement that a model of all curves expects of it, over the epochs that are left to
    train. Nobody is stopped before the end of the sweep, which ends when as many epochs were trained as successive
    halving would train with as many trials.
    """

    kind: Literal["freeze_thaw"] = "freeze_thaw"
    min_epochs: MinEpochs = "auto"
    """The first rung; auto: a ninth of full length or, if later, an epoch after warm-up, or 200 steps or a third."""
    eta: Annotated[int, Field(ge=2)] = 3
    """Each rung is eta times as far as the one before."""

    def rungs(self, max_epochs: int) -> tuple[int, ...]:
        """min_epochs times powers of eta, and the end."""
        return rungs_of(self.min_epochs, self.eta, max_epochs)

    def planned_epochs(self, num_trials: int, max_epochs: int) -> float:
        """Epochs that may be spent on `num_trials`, if the sweep file does not say."""
        return epochs_to_climb(self.rungs(max_epochs), self.eta, num_trials)

    def trials_per_rung(self, num_trials: int, max_epochs: int) -> tuple[int, ...]:
        """As for successive halving; how many it will be is for the curves to say."""
        return trials_at_rungs(self.rungs(max_epochs), self.eta, num_trials)

    def decide(self, cost: float, seen: Ranking) -> Verdict:
        """Whoever is sound waits; see `Asha.decide`."""
        rank = rank_of(cost, seen)
        return Verdict(continues=math.isfinite(cost), cost=cost, rank=rank, num_seen=len(seen), cutoff=math.inf)

    def choose(
        self, waiting: Mapping[int, int], gains: Mapping[int, float], of_new: float | None, num_slots: int
    ) -> list[int]:
        """Trials that promise at least what a new one does, the most promising first; none: begin a new one.

        All wait at the rung of the first, and are at most a slot's share of 1/eta of those who wait there.

        Args:
            waiting: trial_id -> the rung at which it waits.
            gains: trial_id -> what it promises.
            of_new: what a new trial promises; none if there may be no more.
            num_slots: segments that run at once.
        """
        promising = [trial_id for trial_id, gain in gains.items() if of_new is None or gain >= of_new]
        if not promising:
            return []
        promising.sort(key=lambda trial_id: (-gains[trial_id], trial_id))
        rung = waiting[promising[0]]
        num_there = sum(other == rung for other in waiting.values())
        alike = [trial_id for trial_id in promising if waiting[trial_id] == rung]
        return alike[: math.ceil(num_there / self.eta / num_slots)]
