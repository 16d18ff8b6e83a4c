"""What all optimizers share: which parameters decay, and how a lane's number meets a lane's tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

Hyper = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Group:
    """Parameters that are updated alike: of all lanes, each tensor [L, ...], or of one lane, each [...]."""

    params: Sequence[torch.Tensor]
    grads: Sequence[torch.Tensor]
    state: Mapping[str, Sequence[torch.Tensor]]
    """By kind, in the order of `params`."""
    decays: bool
    """Whether weight decay applies."""


@runtime_checkable
class LaneOptimizer(Protocol):
    """An optimizer with a form for lanes."""

    STATE: ClassVar[tuple[str, ...]]
    """Kinds of state, each a tensor [L, ...] for each parameter, in `torch.optim`'s words."""
    COUNTS_STEPS: ClassVar[bool]
    """Whether `torch.optim` keeps the number of steps with the state."""

    def update(self, group: Group, hyper: Hyper, rate: torch.Tensor, step: int) -> None:
        """Change params and state of all lanes in place.

        Args:
            group: of tensors [L, ...].
            hyper: the numbers in which lanes may differ, each [L], by field.
            rate: the learning rates of this step [L].
            step: from 1.
        """
        ...


@runtime_checkable
class FusedOptimizer(Protocol):
    """An optimizer with a fused kernel, which updates one lane while its weights are in a processor's cache."""

    def update_one(self, group: Group, rate: float, step: int) -> None:
        """Change params and state of one lane in place: `self` is the lane's own, the tensors are [...]."""
        ...


def has_decay(parameter: torch.Tensor) -> bool:
    """Weights decay; biases, and the scales and shifts of norms, do not."""
    return parameter.ndim > 1


def param_groups(module: nn.Module) -> list[dict[str, Any]]:
    """What a `torch.optim` optimizer takes: the parameters that decay, and those that do not."""
    parameters = list(module.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if has_decay(parameter)]},
        {"params": [parameter for parameter in parameters if not has_decay(parameter)], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def decayed(group: Group, weight_decay: torch.Tensor) -> Sequence[torch.Tensor]:
    """The gradients of lanes [L, ...], with L2 of each lane's `weight_decay` [L] where the group decays."""
    if not group.decays:
        return group.grads
    pairs = zip(group.params, group.grads, strict=True)
    return [grad + over(weight_decay, param) * param for param, grad in pairs]


def over(numbers: torch.Tensor, stacked: torch.Tensor) -> torch.Tensor:
    """Numbers of lanes [L], shaped to broadcast over a tensor of lanes [L, ...]."""
    return numbers.view(-1, *(1,) * (stacked.ndim - 1))
