"""Who goes on: pure decisions, without clock, file or library."""

from typing import Annotated

from pydantic import Field

from hpo.scheduling.budget import Budget
from hpo.scheduling.halving import Asha, NoScheduler

Scheduler = Annotated[NoScheduler | Asha, Field(discriminator="kind")]

__all__ = ["Asha", "Budget", "NoScheduler", "Scheduler"]
