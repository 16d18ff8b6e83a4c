"""Gradients against differences of the loss: whether a network learns by the slope that its loss has."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

STEP = 1e-5
"""To either side, along a direction of length 1: in float64 rounding costs some 1e-10 of the slope."""
LEAST_SLOPE = 1e-5
"""Slopes below it are compared as if they were as large, for rounding is not far below."""


@dataclass(frozen=True, kw_only=True)
class Slope:
    """Of the loss along one direction, in two ways."""

    name: str
    """Of the parameter that is moved."""
    by_gradient: float
    by_difference: float

    @property
    def error(self) -> float:
        """Relative to the larger of both."""
        scale = max(abs(self.by_gradient), abs(self.by_difference), LEAST_SLOPE)
        return abs(self.by_gradient - self.by_difference) / scale


def slopes(
    loss: Callable[[], torch.Tensor], parameters: Iterable[tuple[str, torch.Tensor]], generator: torch.Generator
) -> list[Slope]:
    """Of `loss` along one random direction in each parameter: (f(w + hv) - f(w - hv)) / 2h beside the gradient times v.

    A direction moves every coordinate of a parameter, so that none can be wrong unseen. Parameters are left as they
    were.

    Args:
        loss: of the same examples at every call, in float64, without dropout.
        parameters: by name, in float64, that want gradients.
        generator: of the directions.
    """
    named = list(parameters)
    grads = torch.autograd.grad(loss(), [own for _, own in named], allow_unused=True, materialize_grads=True)
    found = []
    for (name, parameter), grad in zip(named, grads, strict=True):
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter)
        direction /= torch.linalg.vector_norm(direction)
        by_gradient = float((grad * direction).sum())
        found.append(Slope(name=name, by_gradient=by_gradient, by_difference=_difference(loss, parameter, direction)))
    return found


@torch.no_grad()
def _difference(loss: Callable[[], torch.Tensor], parameter: torch.Tensor, direction: torch.Tensor) -> float:
    before = parameter.clone()
    above = float(_at(before + STEP * direction, parameter, loss))
    below = float(_at(before - STEP * direction, parameter, loss))
    parameter.copy_(before)
    return (above - below) / (2 * STEP)


def _at(place: torch.Tensor, parameter: torch.Tensor, loss: Callable[[], torch.Tensor]) -> torch.Tensor:
    parameter.copy_(place)
    return loss()
