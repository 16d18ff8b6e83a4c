"""What a sweep will cost, before it runs: rungs, trials per rung, time and disk."""

from collections import Counter
from dataclasses import dataclass

from hpo.room import Need, need_of
from hpo.scheduling import Hyperband, Pbt, Scheduler, full_budget
from hpo.scheduling.ladder import Bracket
from hpo.sweep import Sweep
from hpo.training.data import Splits
from hpo.training.probe import probe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cost of a sweep if its trials are like its base recipe."""

    num_trials: int
    """Children among them."""
    num_children: int
    """Expected to take the places of others, in a population."""
    brackets: tuple[Bracket, ...]
    """Only hyperband has more than one."""
    num_epochs: float
    """Over all trials."""
    seconds_per_epoch: float
    """Of one trial of the base recipe, alone on one thread of this machine."""
    disk: Need
    """For training states."""

    @property
    def rungs(self) -> dict[int, int]:
        """Trials that are expected to reach each rung, over all brackets."""
        nums: Counter[int] = Counter()
        for bracket in self.brackets:
            nums.update(dict(zip(bracket.rungs, bracket.num_trials, strict=True)))
        return dict(nums)

    @property
    def training_s(self) -> float:
        """One slot alone would train this long."""
        return self.num_epochs * self.seconds_per_epoch


def make_plan(sweep: Sweep, splits: Splits) -> Plan:
    """Count on paper, and try the base recipe for a few steps."""
    scheduler, epochs = sweep.chosen.scheduler, sweep.epochs
    num_trials = full_budget(sweep.budget, scheduler, epochs).trials
    num_children = scheduler.num_children(epochs) if isinstance(scheduler, Pbt) else 0
    cost = probe(sweep.recipe, splits)
    return Plan(
        num_trials=num_trials + num_children,
        num_children=num_children,
        brackets=brackets_of(scheduler, num_trials, epochs),
        num_epochs=scheduler.planned_epochs(num_trials, epochs),
        seconds_per_epoch=cost.seconds_per_epoch,
        disk=need_of(sweep, cost.checkpoint_bytes),
    )


def brackets_of(scheduler: Scheduler, num_trials: int, epochs: int) -> tuple[Bracket, ...]:
    """The ladders of a search; only hyperband has more than one."""
    if isinstance(scheduler, Hyperband):
        return scheduler.plan(num_trials, epochs)
    return (Bracket(rungs=scheduler.rungs(epochs), num_trials=scheduler.trials_per_rung(num_trials, epochs)),)
