"""Weights that begin as an identity, or that look at the data."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.training.initializers.layers import Initial, fill_weights, weighted_layers


class Dirac(Initial):
    """Convolutions begin by passing their channels through (Zagoruyko & Komodakis 2017).

    Filters beyond the number of input channels, and dense layers, are `kaiming_normal`: zeros would stay alike.
    """

    kind: Literal["dirac"] = "dirac"

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        if all(isinstance(layer, nn.Linear) for layer in weighted_layers(module)):
            raise ValueError(
                "initializer.kind: dirac needs convolutions, but the model has none. Use kaiming_normal, or a cnn."
            )
        fill_weights(module, lambda weight: _fill_dirac(weight, generator))


class Lsuv(Initial):
    """Orthonormal, then scaled so that what every layer puts out has variance 1 on training examples.

    Layer-sequential unit variance (Mishkin & Matas 2016). One division is exact, for biases are zero here and a layer
    is linear in its weights. Dropout is off, and batch norm still the identity, while the examples go through.
    """

    kind: Literal["lsuv"] = "lsuv"
    num_examples: Annotated[int, Field(ge=2)] = 256
    """Training examples that are looked at, if there are so many."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        assert inputs is not None, "lsuv looks at training examples"
        fill_weights(module, lambda weight: nn.init.orthogonal_(weight, generator=generator))
        chosen = torch.randperm(len(inputs), generator=generator)[: self.num_examples]
        layers = list(weighted_layers(module))
        hooks = [layer.register_forward_hook(_to_unit_variance) for layer in layers]
        was_training = module.training
        try:
            with torch.no_grad():
                module.eval()(inputs[chosen.to(inputs.device)].to(layers[0].weight))
        finally:
            module.train(was_training)
            for hook in hooks:
                hook.remove()


def _fill_dirac(weight: torch.Tensor, generator: torch.Generator) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    if weight.ndim > 2:
        nn.init.dirac_(weight[: weight.shape[1]])


def _to_unit_variance(layer: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
    """Scale the layer's weight, and give the next layer what comes out then."""
    std = output.std()
    if not (std.isfinite() and std > 0):
        raise ValueError(
            f"lsuv needs layers whose outputs vary, but those of {layer} have standard deviation {std.item()} at "
            "orthonormal weights. Check the data, or use another initializer."
        )
    layer.get_parameter("weight").div_(std)
    return output / std
