"""Optimizers: `optimizer.make(module)` returns the `torch.optim` one that a trial alone trains with."""

from typing import Annotated

from pydantic import Field

from hpo.training.optimizers.adamw import AdamW
from hpo.training.optimizers.sgd import Sgd

Optimizer = Annotated[Sgd | AdamW, Field(discriminator="kind")]

__all__ = ["AdamW", "Optimizer", "Sgd"]
