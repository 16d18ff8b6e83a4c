"""Who goes on: pure decisions, without clock, file or library."""

import math
from typing import Annotated

from pydantic import Field

from hpo.scheduling.budget import Budget
from hpo.scheduling.freeze_thaw import FreezeThaw
from hpo.scheduling.halving import Asha, NoScheduler
from hpo.scheduling.median import Median
from hpo.scheduling.population import Pbt

Scheduler = Annotated[NoScheduler | Asha | Median | FreezeThaw | Pbt, Field(discriminator="kind")]

__all__ = ["Asha", "Budget", "FreezeThaw", "Median", "NoScheduler", "Pbt", "Scheduler", "full_budget"]


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
