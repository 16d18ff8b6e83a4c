"""Adam, with coupled and with decoupled decay."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import Group, over, param_groups

Beta = Annotated[float, PER_LANE, Field(ge=0, lt=1)]


class Adam(Config):
    """Adam, as `torch.optim.Adam` (Kingma & Ba 2015): bias-corrected, epsilon outside the root, decay as L2."""

    STATE: ClassVar = ("exp_avg", "exp_avg_sq")
    COUNTS_STEPS: ClassVar = True

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
        return torch.optim.Adam(param_groups(module), **_settings(self))

    def update(self, group: Group, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        if group.decays:
            decayed = [g + over(self.weight_decay, p) * p for p, g in zip(group.params, group.grads, strict=True)]
            group = Group(group.params, decayed, group.state, decays=True)
        _move(self, group, rate, step)

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """One lane; see the package."""
        _fused(torch._fused_adam_, self, group, rate, step)


class AdamW(Config):
    """Adam with decoupled weight decay, as `torch.optim.AdamW` (Loshchilov & Hutter 2019)."""

    STATE: ClassVar = ("exp_avg", "exp_avg_sq")
    COUNTS_STEPS: ClassVar = True

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
        return torch.optim.AdamW(param_groups(module), **_settings(self))

    def update(self, group: Group, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        if group.decays:
            for param in group.params:
                param.mul_(1 - over(rate * self.weight_decay, param))
        _move(self, group, rate, step)

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """One lane; see the package."""
        _fused(torch._fused_adamw_, self, group, rate, step)


def _settings(adam: Adam | AdamW) -> dict[str, object]:
    betas = (adam.beta1, adam.beta2)
    return {"lr": adam.lr, "betas": betas, "eps": adam.eps, "weight_decay": adam.weight_decay, "fused": True}


def _move(adam: Adam | AdamW, group: Group, rate: torch.Tensor, step: int) -> None:
    """The update that both share, with fields [L]."""
    size, correction = rate / (1 - adam.beta1**step), (1 - adam.beta2**step) ** 0.5
    for param, grad, mean, square in zip(
        group.params, group.grads, group.state["exp_avg"], group.state["exp_avg_sq"], strict=True
    ):
        mean.lerp_(grad, 1 - over(adam.beta1, param))
        square.mul_(over(adam.beta2, param)).addcmul_(grad, grad * (1 - over(adam.beta2, param)))
        root = square.sqrt() / over(correction, param) + over(adam.eps, param)
        param.sub_(over(size, param) * mean / root)


def _fused(kernel: object, adam: Adam | AdamW, group: Group, rate: float, step: int) -> None:
    assert callable(kernel)
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
