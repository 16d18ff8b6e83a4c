"""Initial weights: `initializer(module, generator)` fills every dense and convolutional weight in place.

Biases start at zero; norms keep torch's ones and zeros. Formulas are torch.nn.init's.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import Config

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
Fill = Callable[[torch.Tensor], torch.Tensor]


class ConstantInit(Config):
    """Every weight the same. A bad control: symmetry is never broken, so a net stays near chance."""

    kind: Literal["constant"] = "constant"
    value: float = 0.01
    """Of every weight."""

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        _fill(module, lambda weight: nn.init.constant_(weight, self.value))


class Normal(Config):
    """Gaussian with a fixed standard deviation, whatever the layer's width."""

    kind: Literal["normal"] = "normal"
    std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation."""

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        _fill(module, lambda weight: nn.init.normal_(weight, std=self.std, generator=generator))


class XavierUniform(Config):
    """Variance 2 / (fan_in + fan_out), uniform (Glorot & Bengio 2010)."""

    kind: Literal["xavier_uniform"] = "xavier_uniform"

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        _fill(module, lambda weight: nn.init.xavier_uniform_(weight, generator=generator))


class XavierNormal(Config):
    """Variance 2 / (fan_in + fan_out), Gaussian (Glorot & Bengio 2010)."""

    kind: Literal["xavier_normal"] = "xavier_normal"

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        _fill(module, lambda weight: nn.init.xavier_normal_(weight, generator=generator))


class KaimingUniform(Config):
    """Variance 2 / fan_in, uniform (He et al. 2015)."""

    kind: Literal["kaiming_uniform"] = "kaiming_uniform"

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        _fill(module, lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator))


class KaimingNormal(Config):
    """Variance 2 / fan_in, Gaussian (He et al. 2015)."""

    kind: Literal["kaiming_normal"] = "kaiming_normal"

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        _fill(module, lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator))


class Orthogonal(Config):
    """Orthonormal rows or columns, times `gain` (Saxe et al. 2014)."""

    kind: Literal["orthogonal"] = "orthogonal"
    gain: Annotated[float, Field(gt=0)] = 1.0
    """Singular value of every weight matrix."""

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        _fill(module, lambda weight: nn.init.orthogonal_(weight, gain=self.gain, generator=generator))


Initializer = Annotated[
    ConstantInit | Normal | XavierUniform | XavierNormal | KaimingUniform | KaimingNormal | Orthogonal,
    Field(discriminator="kind"),
]


def _fill(module: nn.Module, fill: Fill) -> None:
    for layer in module.modules():
        if isinstance(layer, WEIGHTED):
            fill(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
