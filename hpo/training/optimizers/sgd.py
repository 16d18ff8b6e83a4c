"""Stochastic gradient descent."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import Group, Hyper, decayed, over, param_groups


class Sgd(Config):
    """SGD with momentum, as `torch.optim.SGD`: the rate stays outside the momentum buffer, decay is coupled."""

    STATE: ClassVar[tuple[str, ...]] = ("momentum_buffer",)
    COUNTS_STEPS: ClassVar[bool] = False

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
        return torch.optim.SGD(
            param_groups(module),
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
            weight_decay=self.weight_decay,
            fused=True,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        buffers = group.state["momentum_buffer"]
        for param, grad, buffer in zip(group.params, decayed(group, hyper["weight_decay"]), buffers, strict=True):
            momentum = over(hyper["momentum"], param)
            buffer.mul_(momentum).add_(grad)
            direction = grad + momentum * buffer if self.nesterov else buffer
            param.sub_(over(rate, param) * direction)

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """One lane; see the package."""
        torch._fused_sgd_(
            list(group.params),
            list(group.grads),
            list(group.state["momentum_buffer"]) if self.momentum > 0 else [],
            weight_decay=self.weight_decay if group.decays else 0.0,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self.nesterov and self.momentum > 0,
            maximize=False,
            is_first_step=False,
        )
