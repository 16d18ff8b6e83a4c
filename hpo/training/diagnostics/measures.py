"""Formulas of diagnostics: tensors in, numbers out."""

import math
from collections.abc import Mapping, Sequence

import torch

SATURATED_TANH = 0.97
SATURATED_SIGMOID = 0.03, 0.97
MOST_FEATURES = 1024
"""Features whose correlations are taken; of more, evenly spread ones."""


def saturated_tanh(out: torch.Tensor) -> float:
    """Share of activations beyond 0.97 to either side."""
    return _share(out.abs() > SATURATED_TANH)


def saturated_sigmoid(out: torch.Tensor) -> float:
    """Share of activations below 0.03 or above 0.97."""
    low, high = SATURATED_SIGMOID
    return _share((out < low) | (out > high))


def dead(out: torch.Tensor) -> float:
    """Share of units, of out [B, units, ...], that are 0 for every example and at every place."""
    return _share((_by_unit(out) == 0).all(1))


def constancy(out: torch.Tensor) -> float:
    """Share of the second moment of out [B, units, ...] that the units' means hold: 1 if no unit tells examples apart.

    mean^2 / (mean^2 + variance), each summed over the units.
    """
    units = _by_unit(out)
    moment = float(units.square().mean(1).sum())
    return float(units.mean(1).square().sum()) / moment if moment != 0 else 1.0


def correlation(features: torch.Tensor) -> float:
    """Mean absolute correlation of pairs of features [B, D]; NaN with fewer than two that vary."""
    centred = _centred(features[:, :: math.ceil(features.shape[1] / MOST_FEATURES)])
    norms = torch.linalg.vector_norm(centred, dim=0)
    varying = centred[:, norms > 0] / norms[norms > 0]
    num: int = varying.shape[1]
    if num < 2:
        return math.nan
    return float((varying.T @ varying).abs().sum() - num) / (num * (num - 1))


def effective_rank(features: torch.Tensor) -> float:
    """exp(entropy) of the shares of variance along the principal axes of features [B, D] (Roy & Vetterli 2007).

    Of eigenvalues of the covariance, where the paper takes their roots; NaN if nothing varies.
    """
    variances = torch.linalg.svdvals(_centred(features)).square()
    shares = variances / variances.sum()
    return math.exp(torch.special.entr(shares).sum()) if not shares.isnan().any() else math.nan


def ratio_of_updates(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> list[float]:
    """||after - before|| / ||before||, of all that is not 0 before."""
    norms = {name: weights.norm().item() for name, weights in before.items()}
    return [(after[name] - before[name]).norm().item() / norm for name, norm in norms.items() if norm != 0]


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Least, median and largest of the layers; nothing of no layers."""
    if not values:
        return {}
    of_layers = torch.tensor(values, dtype=torch.float64)
    least, median = of_layers.min().item(), of_layers.quantile(0.5).item()
    return {f"{name}_least": least, f"{name}_median": median, f"{name}_largest": largest(values)}


def largest(values: Sequence[float]) -> float:
    """NaN if one of them is, unlike Python's own."""
    return torch.tensor(values, dtype=torch.float64).max().item()


def entropy_of(y: torch.Tensor) -> float:
    """Of the shares of classes y [n], in nats."""
    shares = y.bincount().double() / len(y)
    return float(torch.special.entr(shares).sum())


def _share(is_so: torch.Tensor) -> float:
    return float(is_so.double().mean())


def _by_unit(out: torch.Tensor) -> torch.Tensor:
    """[B, units, ...] -> [units, B * places]."""
    return out.double().transpose(0, 1).flatten(1)


def _centred(features: torch.Tensor) -> torch.Tensor:
    return features.double() - features.double().mean(0)
