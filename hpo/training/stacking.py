"""From the configs and tensors of several trials to ones with a leading lane axis."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch

from hpo.config import Config, PerLane
from hpo.training.state import Tensors

AnyConfig = TypeVar("AnyConfig", bound=Config)


def stack_configs(configs: Sequence[AnyConfig], like: torch.Tensor) -> AnyConfig:
    """The first config, with a tensor [L] of `like`'s type and device in every field in which the others may differ."""
    first = configs[0]
    names = [
        name
        for name, field in type(first).model_fields.items()
        for mark in field.metadata
        if isinstance(mark, PerLane) and getattr(first, name) != mark.absent
    ]
    return first.model_copy(
        update={name: like.new_tensor([getattr(config, name) for config in configs]) for name in names}
    )


def stack_tensors(named: Sequence[Mapping[str, torch.Tensor]]) -> Tensors:
    """Tensors of the same names and shapes -> by name, [L, ...] contiguous, apart from autograd."""
    return {name: torch.stack([tensors[name].detach().contiguous() for tensors in named]) for name in named[0]}
