"""Who goes on: pure decisions, without clock, file or library."""

import math
from typing import Annotated

from pydantic import Field

from hpo.scheduling.budget import Budget
from hpo.scheduling.freeze_thaw import FreezeThaw
from hpo.scheduling.halving import Asha, NoScheduler
from hpo.scheduling.hyperband import Hyperband
from hpo.scheduling.median import Median
from hpo.scheduling.population import Pbt

Scheduler = Annotated[NoScheduler | Asha | Hyperband | Median | FreezeThaw | Pbt, Field(discriminator="kind")]

__all__ = [
    "Asha",
    "Budget",
    "FreezeThaw",
    "Hyperband",
    "Median",
    "NoScheduler",
    "Pbt",
    "Scheduler",
    "compares_averages",
    "full_budget",
    "is_auto",
    "is_doubting",
    "pauses",
    "share_of_controls",
]


def compares_averages(scheduler: Scheduler) -> bool:
    """Whether trials are compared by what their averaged weights measure."""
    return isinstance(scheduler, Asha | Hyperband) and scheduler.compare == "averaged"


def is_auto(scheduler: Scheduler) -> bool:
    """Whether the first rung is left to be found from length, warm-up and data."""
    return not isinstance(scheduler, NoScheduler | Pbt) and scheduler.min_epochs == "auto"


def is_doubting(scheduler: Scheduler) -> bool:
    """Whether a rung that has told nothing stops nobody."""
    return isinstance(scheduler, Asha) and scheduler.is_doubting


def pauses(scheduler: Scheduler) -> bool:
    """Whether trials wait at rungs until it is decided, again and again, who trains next."""
    return isinstance(scheduler, FreezeThaw | Pbt) or (isinstance(scheduler, Asha) and scheduler.form == "promotion")


def full_budget(budget: Budget, scheduler: Scheduler, max_epochs: int) -> Budget:
    """What may be spent, with the epochs that a scheduler plans where nothing else would end it.

    How many trials a population begins with is for the scheduler to say.
    """
    if isinstance(scheduler, Pbt):
        return budget.model_copy(update={"trials": scheduler.population})
    if budget.epochs is not None or not isinstance(scheduler, FreezeThaw):
        return budget
    planned = math.ceil(scheduler.planned_epochs(budget.trials, max_epochs))
    return budget.model_copy(update={"epochs": planned})


def share_of_controls(scheduler: Scheduler) -> float:
    """Of the trials to be stopped; 0 where none is stopped before the sweep ends."""
    return scheduler.controls if isinstance(scheduler, Asha | Hyperband | Median) else 0.0
