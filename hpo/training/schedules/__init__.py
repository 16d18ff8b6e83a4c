"""Learning-rate schedules: functions of progress, planned for the full length of training.

`schedule(progress)` takes progress in [0, 1) and returns the factor on the peak learning rate. A
schedule is never stretched to a rung, so that values at a rung are comparable and survivors go on.
"""

from typing import Annotated

from pydantic import Field

from hpo.training.schedules.cycles import Cyclic, Fge, WarmRestarts
from hpo.training.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    OneCycle,
    Polynomial,
    Step,
    WarmupStableDecay,
)
from hpo.training.schedules.plateau import Plateau, PlateauMemory

Schedule = Annotated[
    Constant
    | Cosine
    | Linear
    | Polynomial
    | Exponential
    | Step
    | OneCycle
    | Cyclic
    | WarmRestarts
    | Fge
    | WarmupStableDecay
    | Plateau,
    Field(discriminator="kind"),
]

__all__ = [
    "Constant",
    "Cosine",
    "Cyclic",
    "Exponential",
    "Fge",
    "Linear",
    "OneCycle",
    "Plateau",
    "PlateauMemory",
    "Polynomial",
    "Schedule",
    "Step",
    "WarmRestarts",
    "WarmupStableDecay",
]
