"""What all initializers share: which weights they fill, and what is common to their settings."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import nn

from hpo.config import Config

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
Fill = Callable[[torch.Tensor], object]


class Initial(Config):
    """What every initializer has."""

    kind: str
    output_bias: Literal["zero", "log_prior"] = "zero"
    """Of the output layer; log_prior: the logarithm of each class's share, for classes of unequal size."""


def weighted_layers(module: nn.Module) -> Iterator[Weighted]:
    """Every dense and convolutional layer, in the order in which they were put into `module`."""
    for layer in module.modules():
        if isinstance(layer, Weighted):
            yield layer


def fill_weights(module: nn.Module, fill: Fill) -> None:
    """Fill every dense and convolutional weight in place, and set the biases to zero."""
    with torch.no_grad():
        for layer in weighted_layers(module):
            fill(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def start_at_class_shares(module: nn.Module, class_counts: torch.Tensor) -> None:
    """Set the output layer's bias to log(share) of each class, so that it need not be learnt (Lin et al. 2017).

    Args:
        module: whose last dense layer with an output for each class is taken for its output layer.
        class_counts: training examples of each class [C]; a class without any counts as if it had one.

    Raises:
        ValueError: if there is no such layer with a bias.
    """
    num_classes = len(class_counts)
    outputs = [x for x in weighted_layers(module) if isinstance(x, nn.Linear) and x.out_features == num_classes]
    if not outputs or outputs[-1].bias is None:
        raise ValueError(
            f"initializer.output_bias: log_prior needs a dense output layer with {num_classes} outputs and a bias, "
            "but the model has none. Use output_bias: zero."
        )
    with torch.no_grad():
        outputs[-1].bias.copy_((class_counts.clamp(min=1) / class_counts.sum()).log())
