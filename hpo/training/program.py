"""What trains a group of trials through epochs: one trial alone, or several as lanes. Both give the same results."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from hpo.training.examples import TrainingData
from hpo.training.recipe import Recipe
from hpo.training.seeds import make_generator
from hpo.training.state import TrialState


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch of training came to, for one trial."""

    train_loss: float
    """Mean over the examples, as trained on: smoothed, with dropout."""
    lr: float
    """Of the last step."""
    first_bad_step: int | None = None
    """The step, counted from the start of training, whose loss was not finite; what followed is void."""


class Program(Protocol):
    """Trials that train together; results are in the order of the trials, one each."""

    def train_epoch(self, epoch: int) -> list[Epoch]:
        """Train through epoch number `epoch`, from 1."""
        ...

    def evaluate(self) -> list[dict[str, float]]:
        """val_loss, in nats, and val_accuracy of the weights; ema_val_loss and so on of their averages, if kept."""
        ...

    def state(self, lane: int, epoch: int) -> TrialState:
        """All that one of the trials needs to go on after `epoch`."""
        ...

    def keep(self, lanes: Sequence[int]) -> None:
        """Train on with these trials only."""
        ...


def initial_module(recipe: Recipe, data: TrainingData, seed: int, trial_id: int) -> nn.Module:
    """The network of a trial before its first step, its weights by (sweep seed, trial)."""
    module = recipe.model.build(data.input_shape, data.num_classes)
    recipe.initializer(module, make_generator(seed, "weights", trial_id))
    return module.to(data.train_x)


def initial_state(recipe: Recipe, data: TrainingData, seed: int, trial_id: int) -> TrialState:
    """The state of a trial before its first step."""
    return TrialState(epoch=0, module=dict(initial_module(recipe, data, seed, trial_id).state_dict()), optimizer={})


def summarize(losses: list[float], sizes: list[int], rate: float, first_step: int) -> Epoch:
    """An epoch by the losses of its steps, up to the first that is not finite."""
    for number, loss in enumerate(losses):
        if not math.isfinite(loss):
            return Epoch(train_loss=math.nan, lr=rate, first_bad_step=first_step + number)
    mean = sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)
    return Epoch(train_loss=mean, lr=rate)


def average_into(averaged: Sequence[torch.Tensor], values: Sequence[torch.Tensor], kept: float | torch.Tensor) -> None:
    """averaged = kept * averaged + (1 - kept) * value, in place; counters are copied.

    Args:
        averaged: running averages, each [...] or, for lanes, [L, ...].
        values: of weights and buffers, in the same order.
        kept: a number, or one for each lane [L].
    """
    for average, value in zip(averaged, values, strict=True):
        if not average.is_floating_point():
            average.copy_(value)
        elif isinstance(kept, torch.Tensor):
            average.lerp_(value, 1 - kept.view(-1, *(1,) * (value.ndim - 1)))
        else:
            average.lerp_(value, 1 - kept)


def share_kept(half_life: float, steps_per_epoch: int) -> float:
    """Of a running average at each step, if it halves in `half_life` epochs."""
    return float(0.5 ** (1 / (half_life * steps_per_epoch)))
