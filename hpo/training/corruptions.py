"""Inputs made worse, as cameras and hands make them: five severities of each kind (Hendrycks and Dietterich 2019)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch.nn import functional

from hpo.training.augmentations.geometry import turn_and_zoom
from hpo.training.data.normalization import Inputs
from hpo.training.seeds import derive_seed

Kind = Literal["noise", "blur", "contrast", "rotation"]

AMOUNTS: Final[Mapping[Kind, tuple[float, ...]]] = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "rotation": (6.0, 12.0, 18.0, 24.0, 30.0),
}
"""By severity, from 1: those of CIFAR-10-C, and turns that it has not. Deviation of noise as a share of the range, of
the blur in pixels, factor about an image's mean, and degrees.
"""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """Of images [n, C, H, W]; of other inputs [n, ...] noise alone. What leaves the range of inputs is cut off."""

    kind: Kind
    severity: int
    """From 1 to 5."""

    def __call__(self, x: Inputs, seed: int) -> Inputs:
        """The same noise at every severity; images range from the least value of all to the greatest, else features."""
        axes = None if x.ndim == 4 else 0
        low = x.min(axis=axes, keepdims=True)
        spread = x.max(axis=axes, keepdims=True) - low
        scaled = (x - low) / np.where(spread > 0, spread, 1)
        made: Inputs = low + spread * self._worse(torch.from_numpy(scaled), seed).clamp(0, 1).numpy()
        return made

    @property
    def amount(self) -> float:
        """See `AMOUNTS`."""
        return AMOUNTS[self.kind][self.severity - 1]

    def _worse(self, x: torch.Tensor, seed: int) -> torch.Tensor:
        """Of inputs within [0, 1]."""
        match self.kind:
            case "noise":
                generator = torch.Generator().manual_seed(derive_seed(seed, "corruption"))
                return x + self.amount * torch.randn(x.shape, generator=generator, dtype=x.dtype)
            case "blur":
                return blurred(x, self.amount)
            case "contrast":
                means = x.mean((2, 3), keepdim=True)
                return means + self.amount * (x - means)
            case "rotation":
                whole, centre = torch.ones(len(x)), torch.zeros(len(x), 2)
                return turn_and_zoom(x, torch.full((len(x),), math.radians(self.amount)), whole, centre, "reflect")


def corruptions(shape: tuple[int, ...]) -> list[Corruption]:
    """All that suit examples of this shape, by kind and severity."""
    kinds: list[Kind] = list(AMOUNTS) if len(shape) == 3 else ["noise"]
    return [Corruption(kind=kind, severity=severity) for kind in kinds for severity in range(1, 6)]


def blurred(x: torch.Tensor, deviation: float) -> torch.Tensor:
    """Images [n, C, H, W] under a Gaussian of so many pixels, cut off at four deviations; edges go on as they end."""
    reach = math.ceil(4 * deviation)
    places = torch.arange(-reach, reach + 1, dtype=x.dtype)
    kernel = torch.softmax(-(places**2) / (2 * deviation**2), 0)
    flat = functional.pad(x.flatten(0, 1).unsqueeze(1), (reach,) * 4, mode="replicate")
    across = functional.conv2d(flat, kernel.view(1, 1, 1, -1))
    return functional.conv2d(across, kernel.view(1, 1, -1, 1)).view_as(x)
