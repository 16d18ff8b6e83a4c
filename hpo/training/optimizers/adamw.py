"""Adam with decoupled decay."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import split_by_decay


class AdamW(Config):
    """Adam with decoupled weight decay, as `torch.optim.AdamW` (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    beta1: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.9
    """Decay rate of the gradient's running mean."""
    beta2: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.999
    """Decay rate of the squared gradient's running mean."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-8
    """Added outside the root."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 1e-2
    """Share of a weight lost per step, times the rate; biases and norms do not decay."""

    def make(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        decaying, others = split_by_decay(module)
        groups = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )
