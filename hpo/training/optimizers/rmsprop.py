"""RMSprop."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import Group, over, param_groups


class RmsProp(Config):
    """RMSprop, as `torch.optim.RMSprop` (Hinton 2012): epsilon outside the root, the rate outside the buffer."""

    STATE: ClassVar = ("square_avg", "momentum_buffer")
    COUNTS_STEPS: ClassVar = True

    kind: Literal["rmsprop"] = "rmsprop"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    alpha: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.99
    """Decay rate of the squared gradient's running mean."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-8
    """Added outside the root."""
    momentum: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.0
    """Share of the last update kept."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 0.0
    """L2 added to the gradient of weights; biases and norms do not decay."""

    update_one: ClassVar = None

    def make(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.RMSprop(
            param_groups(module),
            lr=self.lr,
            alpha=self.alpha,
            eps=self.eps,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

    def update(self, group: Group, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        for param, grad, square, buffer in zip(
            group.params, group.grads, group.state["square_avg"], group.state["momentum_buffer"], strict=True
        ):
            decayed = grad + over(self.weight_decay, param) * param if group.decays else grad
            square.mul_(over(self.alpha, param)).addcmul_(decayed, decayed * (1 - over(self.alpha, param)))
            buffer.mul_(over(self.momentum, param)).add_(decayed / (square.sqrt() + over(self.eps, param)))
            param.sub_(over(rate, param) * buffer)
