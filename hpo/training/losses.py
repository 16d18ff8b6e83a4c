"""Losses: `loss(logits [B, C], targets [B]) -> scalar`."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional

from hpo.config import PER_LANE, Config


class CrossEntropy(Config):
    """Mean cross-entropy, in nats, with optional label smoothing (Szegedy et al. 2016)."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.0
    """Probability mass spread evenly over all classes. Validation loss is never smoothed."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)


Loss = CrossEntropy
