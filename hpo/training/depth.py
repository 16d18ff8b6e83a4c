"""The layers of a network in order, from its inputs on; and how the first of them stay as they are."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Layer = dict[str, nn.Module]
"""A module with weights, and what follows it and has none, such as its norm; by name."""


def layers_by_depth(module: nn.Module) -> list[Layer]:
    """The layers of `module` with weights, that is, tensors of two or more axes, in the order in which it lists them.

    What comes before the first of them counts to it.
    """
    layers: list[Layer] = [{}]
    has_begun = False
    for name, part in module.named_modules():
        has_weights = any(parameter.ndim > 1 for parameter in part.parameters(recurse=False))
        if has_weights and has_begun:
            layers.append({})
        has_begun |= has_weights
        layers[-1][name] = part
    return layers


def freeze(module: nn.Module, num_layers: int) -> None:
    """Let the first layers learn nothing: their parameters want no gradients.

    Raises:
        ValueError: if no layer would be left to learn.
    """
    if num_layers == 0:
        return
    layers = layers_by_depth(module)
    if num_layers >= len(layers):
        raise ValueError(
            f"frozen_layers: must leave one of the network's {len(layers)} layers with weights to learn, but got "
            f"{num_layers}. Lower it."
        )
    for layer in layers[:num_layers]:
        for part in layer.values():
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(False)


def batch_norms(module: nn.Module, num_layers: int) -> list[_BatchNorm]:
    """The norms with running statistics among the first layers."""
    parts = [part for layer in layers_by_depth(module)[:num_layers] for part in layer.values()]
    return [part for part in parts if isinstance(part, _BatchNorm) and part.track_running_stats]
