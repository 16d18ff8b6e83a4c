"""Learning one batch by heart, which whatever can learn at all can do."""

import math
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from hpo.training.models.layers import DropConnect, Dropout
from hpo.training.optimizers import Optimizer
from hpo.training.precision import autocast
from hpo.training.recipe import Recipe

MOST_STEPS = 200
LEARNED = 0.01
"""Nats below which the mean loss must fall, with every example right."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How far a network came."""

    rate: float
    """The learning rate."""
    num_steps: int
    loss: float
    """After the last step; NaN or infinite where it diverged."""
    accuracy: float
    examples_per_second: float
    """Of training, without augmentation."""

    @property
    def is_learned(self) -> bool:
        """Whether the batch is known by heart; never true of NaN."""
        return self.loss < LEARNED and self.accuracy == 1


def fit_one_batch(recipe: Recipe, module: nn.Module, x: torch.Tensor, y: torch.Tensor, rate: float) -> Fit:
    """Train `module` on examples x [B, ...] of classes y [B] by the recipe's optimizer, as many steps as it takes.

    Without augmentation, dropout, weight decay, smoothing and all that limits weights or gradients; at a constant rate.
    """
    module.train()
    for layer in module.modules():
        if isinstance(layer, (Dropout, DropConnect, _DropoutNd)):
            layer.eval()
    optimizer = _without_decay(recipe.optimizer).make(module, recipe.lr_factor)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_factor", 1.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        with autocast(recipe.precision, x.device):
            loss = functional.cross_entropy(module(x).float(), y)
        loss.backward()
        return loss

    seconds, num_steps, loss, accuracy = 0.0, 0, math.inf, 0.0
    while num_steps < MOST_STEPS and not (loss < LEARNED and accuracy == 1):
        started = time.perf_counter()
        optimizer.step(closure)  # type: ignore[arg-type]
        seconds += time.perf_counter() - started
        num_steps += 1
        loss, accuracy = _measured(recipe, module, x, y)
        if not math.isfinite(loss):
            break
    speed = num_steps * len(y) / seconds
    return Fit(rate=rate, num_steps=num_steps, loss=loss, accuracy=accuracy, examples_per_second=speed)


@torch.no_grad()
def _measured(recipe: Recipe, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    with autocast(recipe.precision, x.device):
        logits = module(x).float()
    return float(functional.cross_entropy(logits, y)), float((logits.argmax(1) == y).double().mean())


def _without_decay(optimizer: Optimizer) -> Optimizer:
    if "weight_decay" not in type(optimizer).model_fields:
        return optimizer
    return optimizer.model_copy(update={"weight_decay": 0.0})
