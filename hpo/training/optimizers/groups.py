"""What all optimizers share: which parameters decay, and how a lane's number meets a lane's tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Group:
    """Parameters that are updated alike: of all lanes, each tensor [L, ...], or of one lane, each [...]."""

    params: Sequence[torch.Tensor]
    grads: Sequence[torch.Tensor]
    state: Mapping[str, Sequence[torch.Tensor]]
    """By kind, in the order of `params`."""
    decays: bool
    """Whether weight decay applies."""


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


def over(numbers: torch.Tensor, stacked: torch.Tensor) -> torch.Tensor:
    """Numbers of lanes [L], shaped to broadcast over a tensor of lanes [L, ...]."""
    return numbers.view(-1, *(1,) * (stacked.ndim - 1))
