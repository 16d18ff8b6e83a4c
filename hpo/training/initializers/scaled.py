"""Weights scaled by the width of their layer, so that signals keep their size on the way through the net."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.training.initializers.layers import Initial, fill_weights

Gain = Annotated[float, Field(gt=0)] | Literal["paper", "auto"]
Fan = Literal["fan_in", "fan_out"]


class Calibrated(Initial):
    """Variance 1 / fan_in, Gaussian: a linear layer keeps the variance of its input (LeCun et al. 1998)."""

    kind: Literal["calibrated"] = "calibrated"

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        fill_weights(module, lambda weight: _kaiming_normal(weight, 1.0, "fan_in", generator))


class XavierUniform(Initial):
    """Variance 2 / (fan_in + fan_out), uniform (Glorot & Bengio 2010)."""

    kind: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Gain = "paper"
    """Factor on every weight; paper: 1; auto: torch's `calculate_gain` of the network's activation."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        gain = _resolve(self.gain, module, paper=1.0)
        fill_weights(module, lambda weight: nn.init.xavier_uniform_(weight, gain, generator))


class XavierNormal(Initial):
    """Variance 2 / (fan_in + fan_out), Gaussian (Glorot & Bengio 2010)."""

    kind: Literal["xavier_normal"] = "xavier_normal"
    gain: Gain = "paper"
    """Factor on every weight; paper: 1; auto: torch's `calculate_gain` of the network's activation."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        gain = _resolve(self.gain, module, paper=1.0)
        fill_weights(module, lambda weight: nn.init.xavier_normal_(weight, gain, generator))


class KaimingUniform(Initial):
    """Variance gain^2 / fan, uniform (He et al. 2015)."""

    kind: Literal["kaiming_uniform"] = "kaiming_uniform"
    mode: Fan = "fan_in"
    """Which fan: fan_in keeps the size of signals, fan_out that of gradients."""
    gain: Gain = "paper"
    """As in the variance; paper: sqrt(2), for ReLU; auto: torch's `calculate_gain` of the network's activation."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        gain = _resolve(self.gain, module, paper=math.sqrt(2))
        fill_weights(module, lambda weight: _kaiming_uniform(weight, gain, self.mode, generator))


class KaimingNormal(Initial):
    """Variance gain^2 / fan, Gaussian (He et al. 2015)."""

    kind: Literal["kaiming_normal"] = "kaiming_normal"
    mode: Fan = "fan_in"
    """Which fan: fan_in keeps the size of signals, fan_out that of gradients."""
    gain: Gain = "paper"
    """As in the variance; paper: sqrt(2), for ReLU; auto: torch's `calculate_gain` of the network's activation."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        gain = _resolve(self.gain, module, paper=math.sqrt(2))
        fill_weights(module, lambda weight: _kaiming_normal(weight, gain, self.mode, generator))


class Orthogonal(Initial):
    """Orthonormal rows or columns, times `gain` (Saxe et al. 2014)."""

    kind: Literal["orthogonal"] = "orthogonal"
    gain: Gain = "paper"
    """Singular value of every weight matrix; paper: 1; auto: torch's `calculate_gain` of the network's activation."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        gain = _resolve(self.gain, module, paper=1.0)
        fill_weights(module, lambda weight: nn.init.orthogonal_(weight, gain, generator))


def _resolve(gain: Gain, module: nn.Module, paper: float) -> float:
    match gain:
        case "paper":
            return paper
        case "auto":
            return _gain_of_activation(module)
        case number:
            return number


def _gain_of_activation(module: nn.Module) -> float:
    """torch's, for the first activation found; smooth relatives of ReLU count as it, and no activation as linear.

    So does maxout: the larger of two normal numbers has the mean square of one.
    """
    for layer in module.modules():
        match layer:
            case nn.LeakyReLU():
                return nn.init.calculate_gain("leaky_relu", layer.negative_slope)
            case nn.Tanh():
                return nn.init.calculate_gain("tanh")
            case nn.SELU():
                return nn.init.calculate_gain("selu")
            case nn.ReLU() | nn.GELU() | nn.SiLU() | nn.ELU() | nn.CELU():
                return nn.init.calculate_gain("relu")
            case nn.Sigmoid():
                return nn.init.calculate_gain("sigmoid")
    return nn.init.calculate_gain("linear")


def _kaiming_uniform(weight: torch.Tensor, gain: float, mode: Fan, generator: torch.Generator) -> torch.Tensor:
    """torch's, which takes no gain but those of its own activations."""
    bound = math.sqrt(3) * (gain / math.sqrt(_fan(weight, mode)))
    return weight.uniform_(-bound, bound, generator=generator)


def _kaiming_normal(weight: torch.Tensor, gain: float, mode: Fan, generator: torch.Generator) -> torch.Tensor:
    """torch's, which takes no gain but those of its own activations."""
    return weight.normal_(0, gain / math.sqrt(_fan(weight, mode)), generator=generator)


def _fan(weight: torch.Tensor, mode: Fan) -> int:
    """Numbers that one output is made of, or that one input goes into: weight is [out, in, ...]."""
    return weight[0].numel() if mode == "fan_in" else weight[:, 0].numel()
