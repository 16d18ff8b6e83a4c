"""What a sweep will cost, before it runs: rungs, trials per rung, time and disk."""

from dataclasses import dataclass

from hpo.sweep import Sweep
from hpo.training.data import Splits
from hpo.training.probe import probe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cost of a sweep if its trials are like its base recipe."""

    rungs: tuple[int, ...]
    trials_per_rung: tuple[int, ...]
    """Expected to reach each rung."""
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
        return self.trials_per_rung[0] * self.checkpoint_bytes


def make_plan(sweep: Sweep, splits: Splits) -> Plan:
    """Count on paper, and try the base recipe for a few steps."""
    rungs = sweep.scheduler.rungs(sweep.epochs)
    cost = probe(sweep.recipe, splits)
    return Plan(
        rungs=rungs,
        trials_per_rung=sweep.scheduler.trials_per_rung(sweep.budget.trials, sweep.epochs),
        num_epochs=sweep.scheduler.planned_epochs(sweep.budget.trials, sweep.epochs),
        seconds_per_epoch=cost.seconds_per_epoch,
        checkpoint_bytes=cost.checkpoint_bytes,
    )
