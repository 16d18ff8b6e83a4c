"""Stochastic gradient descent."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import UNIFORM, Closure, Group, Hyper, LrFactor, decayed, over, param_groups, shrink


class Sgd(Config):
    """SGD with momentum, as `torch.optim.SGD`: the rate stays outside the momentum buffer."""

    state_kinds: ClassVar[tuple[str, ...]] = ("momentum_buffer",)
    counts_steps: ClassVar[bool] = False

    kind: Literal["sgd"] = "sgd"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 0.1
    """Peak learning rate."""
    momentum: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.9
    """Share of the last update kept."""
    nesterov: bool = True
    """Step from where momentum leads; no effect at momentum 0."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 5e-4
    """L2 added to the gradient of weights; biases and norms do not decay."""
    decay_mode: Literal["coupled", "decoupled"] = "coupled"
    """decoupled: a share of the weights, times the rate, is lost before the step (SGDW, Loshchilov & Hutter 2019)."""

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        kind = torch.optim.SGD if self.decay_mode == "coupled" else _SgdW
        return kind(
            param_groups(module, lr_factor),
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
            weight_decay=self.weight_decay,
            fused=True,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        grads, buffers = group.grads, group.state["momentum_buffer"]
        if self.decay_mode == "coupled":
            grads = decayed(group, hyper["weight_decay"])
        else:
            shrink(group, rate * hyper["weight_decay"])
        for param, grad, buffer in zip(group.params, grads, buffers, strict=True):
            momentum = over(hyper["momentum"], param)
            buffer.mul_(momentum).add_(grad)
            direction = grad + momentum * buffer if self.nesterov else buffer
            param.sub_(over(rate, param) * direction)

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """One lane; see the package."""
        weight_decay = self.weight_decay if group.decays else 0.0
        if self.decay_mode == "decoupled":
            torch._foreach_mul_(list(group.params), 1 - rate * weight_decay)
        torch._fused_sgd_(
            list(group.params),
            list(group.grads),
            list(group.state["momentum_buffer"]) if self.momentum > 0 else [],
            weight_decay=weight_decay if self.decay_mode == "coupled" else 0.0,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self.nesterov and self.momentum > 0,
            maximize=False,
            is_first_step=False,
        )


class _SgdW(torch.optim.SGD):
    """SGD whose `weight_decay` acts on the weights, not through the gradient."""

    @torch.no_grad()
    def step(self, closure: Closure) -> torch.Tensor:  # type: ignore[override]
        """As torch's."""
        with torch.enable_grad():
            loss = closure()
        decays = [group["weight_decay"] for group in self.param_groups]
        for group, decay in zip(self.param_groups, decays, strict=True):
            torch._foreach_mul_(group["params"], 1 - group["lr"] * decay)
            group["weight_decay"] = 0.0
        super().step()
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        return loss
