"""Losses: `loss(logits [B, C], targets [B]) -> scalar`."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional

from hpo.config import PER_LANE_UNLESS_0, Config


class CrossEntropy(Config):
    """Mean cross-entropy, in nats, with optional label smoothing (Szegedy et al. 2016)."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Probability mass spread evenly over all classes. Validation loss is never smoothed."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def per_lane(self, logits: torch.Tensor, targets: torch.Tensor, hyper: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """logits [L, B, C], targets [B], numbers of lanes [L] by field -> mean loss of each lane [L]."""
        wanted = targets.expand(len(logits), -1)
        nll = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted).mean(1)
        if "label_smoothing" not in hyper:
            return nll
        return nll - hyper["label_smoothing"] * (logits.log_softmax(2).mean((1, 2)) + nll)


Loss = CrossEntropy
