"""Adam, with coupled and with decoupled decay."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import UNIFORM, Group, Hyper, LrFactor, decayed, over, param_groups, shrink

Beta = Annotated[float, PER_LANE, Field(ge=0, lt=1)]


class Adam(Config):
    """Adam, as `torch.optim.Adam` (Kingma & Ba 2015): bias-corrected, epsilon outside the root, decay as L2."""

    counts_steps: ClassVar[bool] = True

    kind: Literal["adam"] = "adam"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    beta1: Beta = 0.9
    """Decay rate of the gradient's running mean."""
    beta2: Beta = 0.999
    """Decay rate of the squared gradient's running mean."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-8
    """Added outside the root."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 0.0
    """L2 added to the gradient of weights; biases and norms do not decay."""
    amsgrad: bool = False
    """Divide by the largest running mean so far (Reddi et al. 2018)."""

    @property
    def state_kinds(self) -> tuple[str, ...]:
        """See `LaneOptimizer`."""
        return _state_kinds(self)

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.Adam(
            param_groups(module, lr_factor),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            amsgrad=self.amsgrad,
            fused=True,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        _move(replace(group, grads=decayed(group, hyper["weight_decay"])), hyper, rate, step)

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """One lane; see the package."""
        _fused(torch._fused_adam_, self, group, rate, step)


class AdamW(Config):
    """Adam with decoupled weight decay, as `torch.optim.AdamW` (Loshchilov & Hutter 2019)."""

    counts_steps: ClassVar[bool] = True

    kind: Literal["adamw"] = "adamw"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    beta1: Beta = 0.9
    """Decay rate of the gradient's running mean."""
    beta2: Beta = 0.999
    """Decay rate of the squared gradient's running mean."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-8
    """Added outside the root."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 1e-2
    """Share of a weight lost per step, times the rate; biases and norms do not decay."""
    amsgrad: bool = False
    """Divide by the largest running mean so far (Reddi et al. 2018)."""

    @property
    def state_kinds(self) -> tuple[str, ...]:
        """See `LaneOptimizer`."""
        return _state_kinds(self)

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.AdamW(
            param_groups(module, lr_factor),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            amsgrad=self.amsgrad,
            fused=True,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        shrink(group, rate * hyper["weight_decay"])
        _move(group, hyper, rate, step)

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """One lane; see the package."""
        _fused(torch._fused_adamw_, self, group, rate, step)


def _state_kinds(adam: Adam | AdamW) -> tuple[str, ...]:
    return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if adam.amsgrad else ("exp_avg", "exp_avg_sq")


def _move(group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
    """The update that both share."""
    size, correction = rate / (1 - hyper["beta1"] ** step), (1 - hyper["beta2"] ** step) ** 0.5
    squares = group.state["exp_avg_sq"]
    largest = group.state.get("max_exp_avg_sq", squares)
    for param, grad, mean, square, divisor in zip(
        group.params, group.grads, group.state["exp_avg"], squares, largest, strict=True
    ):
        mean.lerp_(grad, 1 - over(hyper["beta1"], param))
        square.mul_(over(hyper["beta2"], param)).addcmul_(grad, grad * (1 - over(hyper["beta2"], param)))
        if divisor is not square:
            torch.maximum(divisor, square, out=divisor)
        root = divisor.sqrt() / over(correction, param) + over(hyper["eps"], param)
        param.sub_(over(size, param) * mean / root)


def _fused(kernel: Callable[..., None], adam: Adam | AdamW, group: Group, rate: float, step: int) -> None:
    kernel(
        group.params,
        group.grads,
        group.state["exp_avg"],
        group.state["exp_avg_sq"],
        group.state.get("max_exp_avg_sq", []),
        [torch.tensor(float(step))] * len(group.params),
        lr=rate,
        beta1=adam.beta1,
        beta2=adam.beta2,
        weight_decay=adam.weight_decay if group.decays else 0.0,
        eps=adam.eps,
        amsgrad=adam.amsgrad,
        maximize=False,
    )
