"""What a sweep will cost, before it runs: rungs, trials per rung, time and disk."""

from dataclasses import dataclass

from hpo.scheduling import Pbt, full_budget
from hpo.sweep import Sweep
from hpo.training.data import Splits
from hpo.training.probe import probe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cost of a sweep if its trials are like its base recipe."""

    rungs: tuple[int, ...]
    trials_per_rung: tuple[int, ...]
    """Expected to reach each rung."""
    num_children: int
    """Expected to take the places of others, in a population."""
    num_epochs: float
    """Over all trials."""
    seconds_per_epoch: float
    """Of one trial of the base recipe, alone on one thread of this machine."""
    checkpoint_bytes: int
    """Of one trial."""

    @property
    def training_s(self) -> float:
        """One slot alone would train this long."""
        return self.num_epochs * self.seconds_per_epoch

    @property
    def disk_bytes(self) -> int:
        """Each trial keeps its last checkpoint."""
        return (self.trials_per_rung[0] + self.num_children) * self.checkpoint_bytes


def make_plan(sweep: Sweep, splits: Splits) -> Plan:
    """Count on paper, and try the base recipe for a few steps."""
    scheduler, epochs = sweep.scheduler, sweep.epochs
    num_trials = full_budget(sweep.budget, scheduler, epochs).trials
    cost = probe(sweep.recipe, splits)
    return Plan(
        rungs=scheduler.rungs(epochs),
        trials_per_rung=scheduler.trials_per_rung(num_trials, epochs),
        num_children=scheduler.num_children(epochs) if isinstance(scheduler, Pbt) else 0,
        num_epochs=scheduler.planned_epochs(num_trials, epochs),
        seconds_per_epoch=cost.seconds_per_epoch,
        checkpoint_bytes=cost.checkpoint_bytes,
    )
