"""Weights that are the same for every layer, whatever its width."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.training.initializers.layers import Initial, fill_weights


class ConstantInit(Initial):
    """Every weight the same. A bad control: symmetry is never broken, so a net stays near chance."""

    kind: Literal["constant"] = "constant"
    value: float = 0.01
    """Of every weight."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        fill_weights(module, lambda weight: nn.init.constant_(weight, self.value))


class Normal(Initial):
    """Gaussian with a fixed standard deviation."""

    kind: Literal["normal"] = "normal"
    std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        fill_weights(module, lambda weight: nn.init.normal_(weight, std=self.std, generator=generator))


class TruncatedNormal(Initial):
    """Gaussian with a fixed standard deviation, of which no draw is farther than two from zero."""

    kind: Literal["truncated_normal"] = "truncated_normal"
    std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation before truncation; what is left has 0.88 of it."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        cut = 2 * self.std
        fill_weights(module, lambda weight: nn.init.trunc_normal_(weight, 0.0, self.std, -cut, cut, generator))


class Uniform(Initial):
    """Uniform between two fixed bounds."""

    kind: Literal["uniform"] = "uniform"
    bound: Annotated[float, Field(gt=0)] = 0.05
    """Largest magnitude of a weight."""

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        fill_weights(module, lambda weight: nn.init.uniform_(weight, -self.bound, self.bound, generator))
