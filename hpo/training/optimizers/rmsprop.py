"""RMSprop."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import UNIFORM, Group, Hyper, LrFactor, decayed, over, param_groups


class RmsProp(Config):
    """RMSprop, as `torch.optim.RMSprop` (Hinton 2012): epsilon outside the root, the rate outside the buffer."""

    state_kinds: ClassVar[tuple[str, ...]] = ("square_avg", "momentum_buffer")
    counts_steps: ClassVar[bool] = True

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

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.RMSprop(
            param_groups(module, lr_factor),
            lr=self.lr,
            alpha=self.alpha,
            eps=self.eps,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        for param, grad, square, buffer in zip(
            group.params,
            decayed(group, hyper["weight_decay"]),
            group.state["square_avg"],
            group.state["momentum_buffer"],
            strict=True,
        ):
            square.mul_(over(hyper["alpha"], param)).addcmul_(grad, grad * (1 - over(hyper["alpha"], param)))
            buffer.mul_(over(hyper["momentum"], param)).add_(grad / (square.sqrt() + over(hyper["eps"], param)))
            param.sub_(over(rate, param) * buffer)
