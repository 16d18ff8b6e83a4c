"""Relatives of Adam: RAdam and NAdam."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import UNIFORM, Group, Hyper, LrFactor, decayed, over, param_groups

Beta = Annotated[float, PER_LANE, Field(ge=0, lt=1)]


class RAdam(Config):
    """Rectified Adam, as `torch.optim.RAdam` (Liu et al. 2020): plain momentum until the variance can be trusted."""

    state_kinds: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    counts_steps: ClassVar[bool] = True

    kind: Literal["radam"] = "radam"
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

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.RAdam(
            param_groups(module, lr_factor),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        size, correction = rate / (1 - hyper["beta1"] ** step), (1 - hyper["beta2"] ** step) ** 0.5
        factor, is_trusted = _rectification(hyper["beta2"], step)
        for param, grad, mean, square in zip(
            group.params,
            decayed(group, hyper["weight_decay"]),
            group.state["exp_avg"],
            group.state["exp_avg_sq"],
            strict=True,
        ):
            mean.lerp_(grad, 1 - over(hyper["beta1"], param))
            square.mul_(over(hyper["beta2"], param)).add_((1 - over(hyper["beta2"], param)) * grad * grad)
            scaled = over(factor * correction, param) / (square.sqrt() + over(hyper["eps"], param))
            scale = torch.where(over(is_trusted, param), scaled, torch.ones_like(scaled))
            param.sub_(over(size, param) * mean * scale)


class NAdam(Config):
    """Adam with Nesterov momentum, as `torch.optim.NAdam` (Dozat 2016); its trials train one at a time."""

    kind: Literal["nadam"] = "nadam"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 2e-3
    """Peak learning rate."""
    beta1: Beta = 0.9
    """Decay rate of the gradient's running mean."""
    beta2: Beta = 0.999
    """Decay rate of the squared gradient's running mean."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-8
    """Added outside the root."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 0.0
    """L2 added to the gradient of weights; biases and norms do not decay."""

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.NAdam(
            param_groups(module, lr_factor),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
        )


def _rectification(beta2: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's r_t [L], and where it applies [L].

    In float64: at first `length` is the small difference of two large numbers, of which float32 leaves nothing.
    """
    rate = beta2.double()
    longest = 2 / (1 - rate) - 1
    length = longest - 2 * step * rate**step / (1 - rate**step)
    top, bottom = (length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2) * length
    return (top / bottom).clamp(min=0).sqrt().to(beta2), length > 5
