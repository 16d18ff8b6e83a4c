"""Optimizers whose steps shrink with what a parameter has seen: Adagrad and Adadelta."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import UNIFORM, Group, Hyper, LrFactor, decayed, over, param_groups


class Adagrad(Config):
    """Adagrad, as `torch.optim.Adagrad` (Duchi et al. 2011): epsilon outside the root."""

    state_kinds: ClassVar[tuple[str, ...]] = ("sum",)
    counts_steps: ClassVar[bool] = True

    kind: Literal["adagrad"] = "adagrad"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1e-2
    """Peak learning rate."""
    lr_decay: Annotated[float, PER_LANE, Field(ge=0)] = 0.0
    """The rate is divided by 1 + lr_decay * steps, besides the schedule."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-10
    """Added outside the root."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 0.0
    """L2 added to the gradient of weights; biases and norms do not decay."""

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.Adagrad(
            param_groups(module, lr_factor),
            lr=self.lr,
            lr_decay=self.lr_decay,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        size = rate / (1 + (step - 1) * hyper["lr_decay"])
        for param, grad, total in zip(
            group.params, decayed(group, hyper["weight_decay"]), group.state["sum"], strict=True
        ):
            total.addcmul_(grad, grad)
            param.sub_(over(size, param) * grad / (total.sqrt() + over(hyper["eps"], param)))


class Adadelta(Config):
    """Adadelta, as `torch.optim.Adadelta` (Zeiler 2012): one `rho`, epsilon inside the roots."""

    state_kinds: ClassVar[tuple[str, ...]] = ("square_avg", "acc_delta")
    counts_steps: ClassVar[bool] = True

    kind: Literal["adadelta"] = "adadelta"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1.0
    """Factor on the step that the method finds by itself."""
    rho: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.9
    """Decay rate of both running means."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-6
    """Added inside the roots; sets the size of the first steps."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 0.0
    """L2 added to the gradient of weights; biases and norms do not decay."""

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone."""
        return torch.optim.Adadelta(
            param_groups(module, lr_factor), lr=self.lr, rho=self.rho, eps=self.eps, weight_decay=self.weight_decay
        )

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """All lanes at once; see the package."""
        for param, grad, square, moved in zip(
            group.params,
            decayed(group, hyper["weight_decay"]),
            group.state["square_avg"],
            group.state["acc_delta"],
            strict=True,
        ):
            rho, eps = over(hyper["rho"], param), over(hyper["eps"], param)
            square.mul_(rho).add_((1 - rho) * grad * grad)
            delta = (moved + eps).sqrt() / (square + eps).sqrt() * grad
            moved.mul_(rho).add_((1 - rho) * delta * delta)
            param.sub_(over(rate, param) * delta)
