"""Pieces that every built-in network is made of; `hpo.training.fused` knows each in its form for lanes.

A number in which lanes may differ is a buffer. Such a layer has `per_lane(x [L, ...], numbers [L])` beside `forward`.
"""

from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
}


def make_activation(name: Activation, leaky_slope: float = 0.01) -> nn.Module:
    """torch's module of that name; the slope is for leaky_relu alone."""
    return LeakyRelu(leaky_slope) if name == "leaky_relu" else _ACTIVATIONS[name]()


def require_images(network: str, input_shape: tuple[int, ...], least: int, remedy: str) -> None:
    """Refuse inputs that are no images [channels, height, width], or smaller than `least` x `least`.

    Raises:
        ValueError: with what `network`, in words, needs.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < least:
        raise ValueError(
            f"{network} needs images [channels, height, width] of at least {least} x {least}, "
            f"but the data have shape {list(input_shape)}. {remedy}"
        )


class LeakyRelu(nn.LeakyReLU):
    """torch's, with its slope in a buffer."""

    NUMBER: ClassVar[str] = "slope"
    slope: torch.Tensor

    def __init__(self, slope: float) -> None:
        super().__init__(slope)
        self.register_buffer("slope", torch.tensor(slope), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x of any shape -> the same shape."""
        return functional.prelu(x, self.slope.to(x.dtype).view(1))

    def per_lane(self, x: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
        """x [L, B, ...], slopes [L] -> the same shape."""
        return functional.prelu(x.transpose(0, 1), slopes.to(x.dtype)).transpose(0, 1)


class Maxout(nn.Module):
    """The largest of every `num_pieces` neighbouring units (Goodfellow et al. 2013)."""

    def __init__(self, num_pieces: int) -> None:
        super().__init__()
        self._num_pieces = num_pieces

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., units * pieces] -> [..., units]."""
        pieces = x.view(*x.shape[:-1], -1, self._num_pieces)
        return pieces.amax(-1)


class Scale(nn.Module):
    """Multiplies by a fixed factor."""

    NUMBER: ClassVar[str] = "factor"
    factor: torch.Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x of any shape -> the same shape."""
        return x * self.factor

    def per_lane(self, x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """x [L, ...], factors [L] -> the same shape."""
        return x * factors.view(-1, *(1,) * (x.ndim - 1))


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) whose rate is a buffer, so that every lane has its own.

    The uniforms are drawn in float32 from torch's global generator, which the training step seeds: lanes that
    share a step share the draw and differ only in the threshold.
    """

    rate: torch.Tensor

    def __init__(self, rate: float, num_axes: int | None = None) -> None:
        """Drop single elements or, as one, all that share their place on the first `num_axes`.

        Of [B, C, H, W], 2 drops whole channels (Tompson et al. 2015), and 1 whole examples, which in the branch of a
        residual block is stochastic depth (Huang et al. 2016).
        """
        super().__init__()
        self.register_buffer("rate", torch.tensor(rate), persistent=False)
        self._num_axes = num_axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x of any shape -> the same shape; elements are dropped with probability `rate`, the rest scaled up."""
        return self.per_lane(x.unsqueeze(0), self.rate.unsqueeze(0)).squeeze(0) if self.training else x

    def per_lane(self, x: torch.Tensor, rates: torch.Tensor) -> torch.Tensor:
        """x [L, ...], rates [L] -> the same shape; the lanes share the uniforms and differ in the threshold."""
        rates = rates.view(-1, *(1,) * (x.ndim - 1))
        places = x.shape[1:][: self._num_axes]
        kept = torch.rand(*places, *(1,) * (x.ndim - 1 - len(places)), device=x.device) >= rates
        return x * (kept / (1 - rates)).to(x.dtype)


class DropConnect(nn.Module):
    """A dense layer that drops weights in the place of units (Wan et al. 2013); one draw serves the batch."""

    def __init__(self, dense: nn.Linear, rate: float) -> None:
        super().__init__()
        self.dense = dense
        self.dropout = Dropout(rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, in] -> [B, out]."""
        if not self.training:
            out: torch.Tensor = self.dense(x)
            return out
        return functional.linear(x, self.dropout(self.dense.weight), self.dense.bias)


class Residual(nn.Module):
    """`shortcut(x) + branch(x)` (He et al. 2015); the shortcut is the identity, where shapes allow."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, ...] -> what the branch makes of its shape."""
        out: torch.Tensor = self.shortcut(x) + self.branch(x)
        return out


ELEMENTWISE = frozenset([*_ACTIVATIONS.values(), nn.LeakyReLU])
"""Modules that treat every number alone, whatever the shape."""
