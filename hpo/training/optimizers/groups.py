"""What all optimizers share: which parameters are updated alike, and how a lane's number meets a lane's tensor."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import nn

from hpo.config import Config, PerLane
from hpo.training.depth import layers_by_depth

Hyper = Mapping[str, torch.Tensor]
Closure = Callable[[], torch.Tensor]
"""Computes the loss, and its gradients anew."""
Factor = Annotated[float, PerLane(absent=1.0), Field(gt=0)]


class LrFactor(Config):
    """Factors on the learning rate of some parameters; what is both a bias and of the head has both."""

    bias: Factor = 1.0
    """Of biases, a norm's shifts among them (Page 2019: 64)."""
    head: Factor = 1.0
    """Of the last layer that has parameters."""
    layer_decay: Annotated[float, PerLane(absent=1.0), Field(gt=0, le=1)] = 1.0
    """From each layer to the one before it, beginning with 1 for the last (Clark et al. 2020, ELECTRA).

    Layers are what has weights, in the order in which the network lists its modules: the shortcut of a residual block
    comes after its branch. A norm belongs to the layer before it.
    """


UNIFORM = LrFactor()
"""One rate for all parameters."""


@dataclass(frozen=True)
class Part:
    """Parameters of a network that are updated alike."""

    names: tuple[str, ...]
    decays: bool
    """Whether weight decay applies."""
    is_bias: bool
    """Whether `LrFactor.bias` applies; never where it is 1."""
    is_head: bool
    """Whether `LrFactor.head` applies; never where it is 1."""
    num_above: int
    """Layers after its own, for each of which `LrFactor.layer_decay` applies; 0 where it is 1."""

    @property
    def has_own_rate(self) -> bool:
        """Whether some factor applies."""
        return self.is_bias or self.is_head or self.num_above > 0

    def factor(self, lr_factor: LrFactor) -> float:
        """On the learning rate."""
        of_kind = (lr_factor.bias if self.is_bias else 1.0) * (lr_factor.head if self.is_head else 1.0)
        return of_kind * lr_factor.layer_decay**self.num_above


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

    @property
    def state_kinds(self) -> tuple[str, ...]:
        """Kinds of state, each a tensor [L, ...] for each parameter, in `torch.optim`'s words."""
        ...

    @property
    def counts_steps(self) -> bool:
        """Whether `torch.optim` keeps the number of steps with the state."""
        ...

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


def parts(module: nn.Module, lr_factor: LrFactor) -> list[Part]:
    """The parameters of `module` that want gradients, in as few parts as can be: those that decay first.

    Weights decay; biases, and the scales and shifts of norms, do not.
    """
    head = head_names(module)
    above = layers_above(module) if lr_factor.layer_decay != 1 else {}
    names: dict[tuple[bool, bool, bool, int], list[str]] = defaultdict(list)
    for name, parameter in module.named_parameters():
        is_bias = lr_factor.bias != 1 and name.rpartition(".")[2] == "bias"
        if parameter.requires_grad:
            names[parameter.ndim <= 1, is_bias, lr_factor.head != 1 and name in head, above.get(name, 0)].append(name)
    return [
        Part(tuple(found), not is_spared, is_bias, is_head, num_above)
        for (is_spared, is_bias, is_head, num_above), found in sorted(names.items())
    ]


def head_names(module: nn.Module) -> frozenset[str]:
    """Names of the parameters of the last layer, in the order in which `module` lists its layers."""
    own = [
        {f"{prefix}.{name}" if prefix else name for name, _ in layer.named_parameters(recurse=False)}
        for prefix, layer in module.named_modules()
    ]
    return frozenset(next((names for names in reversed(own) if names), set()))


def layers_above(module: nn.Module) -> dict[str, int]:
    """How many layers come after each parameter's own, by name; see `LrFactor.layer_decay`."""
    layers = layers_by_depth(module)
    return {
        f"{prefix}.{name}" if prefix else name: len(layers) - number
        for number, layer in enumerate(layers, start=1)
        for prefix, part in layer.items()
        for name, _ in part.named_parameters(recurse=False)
    }


def param_groups(module: nn.Module, lr_factor: LrFactor) -> list[dict[str, Any]]:
    """What a `torch.optim` optimizer takes; each group also holds its `lr_factor`, for who sets the rates."""
    parameters = dict(module.named_parameters())
    return [
        {"params": [parameters[name] for name in part.names], "lr_factor": part.factor(lr_factor)}
        | ({} if part.decays else {"weight_decay": 0.0})
        for part in parts(module, lr_factor)
    ]


def decayed(group: Group, weight_decay: torch.Tensor) -> Sequence[torch.Tensor]:
    """The gradients of lanes [L, ...], with L2 of each lane's `weight_decay` [L] where the group decays."""
    if not group.decays:
        return group.grads
    pairs = zip(group.params, group.grads, strict=True)
    return [grad + over(weight_decay, param) * param for param, grad in pairs]


def shrink(group: Group, shares: torch.Tensor) -> None:
    """Decoupled decay: take each lane's share [L] of its weights away, in place, where the group decays."""
    if group.decays:
        for param in group.params:
            param.mul_(1 - over(shares, param))


def over(numbers: torch.Tensor, stacked: torch.Tensor) -> torch.Tensor:
    """Numbers of lanes [L], shaped to broadcast over a tensor of lanes [L, ...]."""
    return numbers.view(-1, *(1,) * (stacked.ndim - 1))
