"""Stochastic gradient descent."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import split_by_decay


class Sgd(Config):
    """SGD with momentum, as `torch.optim.SGD`: the rate stays outside the momentum buffer, decay is coupled."""

    kind: Literal["sgd"] = "sgd"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 0.1
    """Peak learning rate."""
    momentum: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.9
    """Share of the last update kept."""
    nesterov: bool = True
    """Step from where momentum leads; no effect at momentum 0."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 5e-4
    """L2 added to the gradient of weights; biases and norms do not decay."""

    def make(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        decaying, others = split_by_decay(module)
        groups = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.SGD(
            [group for group in groups if group["params"]],
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
            weight_decay=self.weight_decay,
            fused=True,
        )
