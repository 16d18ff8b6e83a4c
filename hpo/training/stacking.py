"""From the configs and tensors of several trials to ones with a leading lane axis."""

from collections.abc import Mapping, Sequence

import torch

from hpo.config import Config, PerLane
from hpo.training.state import Tensors


def stack_numbers(configs: Sequence[Config], like: torch.Tensor) -> Tensors:
    """The numbers in which configs of one kind may differ, by field, as tensors [L] of `like`'s type and device."""
    first = configs[0]
    names = [
        name
        for name, field in type(first).model_fields.items()
        for mark in field.metadata
        if isinstance(mark, PerLane) and getattr(first, name) != mark.absent
    ]
    return {name: like.new_tensor([getattr(config, name) for config in configs]) for name in names}


def stack_tensors(named: Sequence[Mapping[str, torch.Tensor]]) -> Tensors:
    """Tensors of the same names and shapes -> by name, [L, ...] contiguous, apart from autograd."""
    return {name: torch.stack([tensors[name].detach().contiguous() for tensors in named]) for name in named[0]}
