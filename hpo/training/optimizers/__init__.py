"""Optimizers: configs that make the `torch.optim` one for a trial alone, and most of which update lanes as well.

`LaneOptimizer` and `FusedOptimizer` in `groups` say what the lane forms are; they equal `torch.optim`. An optimizer
without one trains its trials one at a time.
"""

from typing import Annotated

from pydantic import Field

from hpo.training.optimizers.adagrad import Adadelta, Adagrad
from hpo.training.optimizers.adam import Adam, AdamW
from hpo.training.optimizers.groups import FusedOptimizer, LaneOptimizer, LrFactor
from hpo.training.optimizers.lbfgs import Lbfgs
from hpo.training.optimizers.muon import Muon
from hpo.training.optimizers.radam import NAdam, RAdam
from hpo.training.optimizers.rmsprop import RmsProp
from hpo.training.optimizers.sgd import Sgd

Optimizer = Annotated[
    Sgd | Adam | AdamW | RmsProp | RAdam | NAdam | Adagrad | Adadelta | Muon | Lbfgs, Field(discriminator="kind")
]

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "FusedOptimizer",
    "LaneOptimizer",
    "Lbfgs",
    "LrFactor",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RmsProp",
    "Sgd",
]
