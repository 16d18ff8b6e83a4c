"""Adam, with coupled and with decoupled decay."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import Group, Hyper, decayed, over, param_groups

Beta = Annotated[float, PER_LANE, Field(ge=0, lt=1)]


class Adam(Config):
    """Adam, as `torch.optim.Adam` (Kingma & Ba 2015): bias-corrected, epsilon outside the root, decay as L2."""

    STATE: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    COUNTS_STEPS: ClassVar[bool] = True

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

    def make(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.Adam(
            param_groups(module),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
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

    STATE: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    COUNTS_STEPS: ClassVar[bool] = True

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

    def make(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.AdamW(
            param_groups(module),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        if group.decays:
            for param in group.params:
                param.mul_(1 - over(rate * hyper["weight_decay"], param))
        _move(group, hyper, rate, step)

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """One lane; see the package."""
        _fused(torch._fused_adamw_, self, group, rate, step)


def _move(group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
    """The update that both share."""
    size, correction = rate / (1 - hyper["beta1"] ** step), (1 - hyper["beta2"] ** step) ** 0.5
    for param, grad, mean, square in zip(
        group.params, group.grads, group.state["exp_avg"], group.state["exp_avg_sq"], strict=True
    ):
        mean.lerp_(grad, 1 - over(hyper["beta1"], param))
        square.mul_(over(hyper["beta2"], param)).addcmul_(grad, grad * (1 - over(hyper["beta2"], param)))
        root = square.sqrt() / over(correction, param) + over(hyper["eps"], param)
        param.sub_(over(size, param) * mean / root)


def _fused(kernel: Callable[..., None], adam: Adam | AdamW, group: Group, rate: float, step: int) -> None:
    kernel(
        group.params,
        group.grads,
        group.state["exp_avg"],
        group.state["exp_avg_sq"],
        [],
        [torch.tensor(float(step))] * len(group.params),
        lr=rate,
        beta1=adam.beta1,
        beta2=adam.beta2,
        weight_decay=adam.weight_decay if group.decays else 0.0,
        eps=adam.eps,
        amsgrad=False,
        maximize=False,
    )
