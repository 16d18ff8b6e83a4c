"""Pieces that every built-in network is made of."""

from typing import Literal

import torch
from torch import nn

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
}


ELEMENTWISE = frozenset(_ACTIVATIONS.values())
"""Modules that treat every number alone, whatever the shape."""


def make_activation(name: Activation) -> nn.Module:
    """torch's module of that name."""
    return _ACTIVATIONS[name]()


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) whose rate is a buffer, so that every lane has its own.

    The uniforms are drawn in float32 from torch's global generator, which the training step seeds: lanes that
    share a step share the draw and differ only in the threshold.
    """

    rate: torch.Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.register_buffer("rate", torch.tensor(rate), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x of any shape -> the same shape; elements are dropped with probability `rate`, the rest scaled up."""
        return self.drop(x.unsqueeze(0), self.rate.unsqueeze(0)).squeeze(0) if self.training else x

    @staticmethod
    def drop(x: torch.Tensor, rates: torch.Tensor) -> torch.Tensor:
        """x [L, ...], rates [L] -> the same shape; the lanes share the uniforms and differ in the threshold."""
        rates = rates.view(-1, *(1,) * (x.ndim - 1))
        kept = torch.rand(x.shape[1:], device=x.device) >= rates
        return x * (kept / (1 - rates)).to(x.dtype)
