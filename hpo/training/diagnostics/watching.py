"""What activations and the last layer of a network see, as modules or as plain functions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hpo.training.diagnostics.measures import constancy, dead, largest, saturated_sigmoid, saturated_tanh

_TANH: set[object] = {torch.tanh, torch.tanh_, functional.tanh, torch.Tensor.tanh, torch.Tensor.tanh_}
_SIGMOID: set[object] = {torch.sigmoid, torch.sigmoid_, functional.sigmoid, torch.Tensor.sigmoid, torch.Tensor.sigmoid_}
_RELU: set[object] = {torch.relu, torch.relu_, functional.relu, functional.relu_, torch.Tensor.relu, torch.Tensor.relu_}
_OTHERS: set[object] = {
    functional.leaky_relu,
    functional.prelu,
    functional.gelu,
    functional.silu,
    functional.elu,
    functional.selu,
    functional.celu,
    functional.mish,
    functional.softplus,
}


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What came out of one activation for a batch."""

    saturated: float | None
    """Share of a tanh or sigmoid; none of any other."""
    dead: float | None
    """Share of the units of a ReLU; none of any other."""
    constancy: float
    std: float
    """Over examples, units and places."""


class Watch(TorchFunctionMode):
    """Measures every activation of what is called while it is open, in the order of the calls.

    It sees functions, so that networks which do without `nn.ReLU` are measured too; no maximum, such as maxout's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.activities: list[Activity] = []
        self.features: torch.Tensor | None = None
        """What the last dense layer was given [B, D]; none where there is no such layer."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do as asked, and note what came out."""
        out = func(*args, **(kwargs or {}))
        if func is functional.linear:
            self.features = args[0].detach().flatten(1)
        elif func in _TANH | _SIGMOID | _RELU | _OTHERS:
            self.activities.append(_activity(func, out.detach()))
        return out


def _activity(func: Callable[..., Any], out: torch.Tensor) -> Activity:
    saturated = saturated_tanh(out) if func in _TANH else saturated_sigmoid(out) if func in _SIGMOID else None
    return Activity(
        saturated=saturated,
        dead=dead(out) if func in _RELU else None,
        constancy=constancy(out),
        std=out.double().std(correction=0).item(),
    )


def summary(activities: Iterable[Activity]) -> Mapping[str, float]:
    """The worst of the layers, as metrics; what no layer has is not there, nor is a ratio to a spread of 0."""
    found = list(activities)
    saturated = [own.saturated for own in found if own.saturated is not None]
    died = [own.dead for own in found if own.dead is not None]
    metrics = {}
    if saturated:
        metrics["saturated_largest"] = largest(saturated)
    if died:
        metrics["dead_largest"] = largest(died)
    if found:
        metrics["constancy_largest"] = largest([own.constancy for own in found])
    if len(found) > 1 and found[0].std != 0:
        metrics["activation_std_ratio"] = found[-1].std / found[0].std
    return metrics
