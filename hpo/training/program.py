"""What trains a group of trials through epochs: one trial alone, or several as lanes. Both give the same results."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from hpo.training.augmentations import Mixed
from hpo.training.examples import TrainingData
from hpo.training.initializers import start_at_class_shares
from hpo.training.losses import Distillation, with_teacher
from hpo.training.luck import batch_sizes
from hpo.training.models.whitening import fit_whitening
from hpo.training.optimizers import Lbfgs
from hpo.training.recipe import Recipe
from hpo.training.seeds import make_generator
from hpo.training.state import Tensors, TrialState


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch of training came to, for one trial."""

    train_loss: float
    """Mean over the examples, as trained on: smoothed, with dropout."""
    lr: float
    """Of the last step."""
    first_bad_step: int | None = None
    """The step, counted from the start of training, whose loss was not finite; what followed is void."""
    losses: tuple[float, ...] = ()
    """Of each step, up to the first that is not finite."""


class Program(Protocol):
    """Trials that train together; results are in the order of the trials, one each."""

    @property
    def num_parameters(self) -> int:
        """Of the network of each trial, frozen ones too."""
        ...

    def train_epoch(self, epoch: int, factors: Sequence[float] = ()) -> list[Epoch]:
        """Train through epoch number `epoch`, from 1, with these factors on the schedules of the trials, if any."""
        ...

    def evaluate(self) -> list[dict[str, float]]:
        """val_loss, in nats, and val_accuracy of the weights; ema_val_loss or swa_val_loss and so on of their average.

        There is no swa_val_loss before the average has begun.
        """
        ...

    def predict(self) -> list[Tensors]:
        """Log-probabilities of the validation examples, [n, C] in float16, by RAW weights and by their AVERAGED ones.

        There are none of an average that is not kept, or has not begun.
        """
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
    fit_whitening(module, data.train_x)
    recipe.initializer(module, make_generator(seed, "weights", trial_id), data.train_x)
    if recipe.initializer.output_bias == "log_prior":
        start_at_class_shares(module, data.train_y.bincount(minlength=data.num_classes))
    return module.to(data.train_x)


def initial_state(recipe: Recipe, data: TrainingData, seed: int, trial_id: int) -> TrialState:
    """The state of a trial before its first step."""
    return TrialState(epoch=0, module=dict(initial_module(recipe, data, seed, trial_id).state_dict()), optimizer={})


def summarize(losses: list[float], sizes: list[int], rate: float, first_step: int) -> Epoch:
    """An epoch by the losses of its steps, up to the first that is not finite."""
    for number, loss in enumerate(losses):
        if not math.isfinite(loss):
            sound = tuple(losses[:number])
            return Epoch(train_loss=math.nan, lr=rate, first_bad_step=first_step + number, losses=sound)
    mean = sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)
    return Epoch(train_loss=mean, lr=rate, losses=tuple(losses))


def first_steps(recipe: Recipe, num_examples: int) -> list[int]:
    """The number of the first step of each epoch, counted from the start of training, and of all steps together."""
    sizes = (recipe.batch_size_at(epoch) for epoch in range(1, recipe.epochs + 1))
    return list(itertools.accumulate((len(batch_sizes(num_examples, size)) for size in sizes), initial=0))


def rate_at(recipe: Recipe, epoch: int, number: int, num_steps: int, factor: float = 1.0) -> float:
    """The learning rate of a step: the schedule's, or what stays once weights are averaged.

    The latter is `torch.optim.swa_utils.SWALR` without its annealing. Progress goes by epochs, so that larger batches,
    which make fewer steps, do not change the schedule.

    Args:
        recipe: of the trial.
        epoch: from 1.
        number: of the step in its epoch, from 0.
        num_steps: of the epoch.
        factor: on the schedule.
    """
    progress = ((epoch - 1) * num_steps + number) / (recipe.epochs * num_steps)
    if recipe.swa_lr > 0 and recipe.swa_start > 0 and progress >= recipe.swa_start - 1e-9:
        return recipe.optimizer.lr * recipe.swa_lr
    return recipe.optimizer.lr * recipe.schedule(progress) * factor


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


def num_averaged(recipe: Recipe, epoch: int) -> int:
    """Epochs up to `epoch` whose weights are in the average that begins at `swa_start`."""
    return max(0, epoch - math.floor(recipe.swa_start * recipe.epochs + 1e-9)) if recipe.swa_start > 0 else 0


def keeps_average(recipe: Recipe) -> bool:
    """Whether an average of weights is kept, running or from some epoch on."""
    return recipe.ema_half_life > 0 or recipe.swa_start > 0


def has_average(recipe: Recipe, epoch: int) -> bool:
    """Whether there is an average of weights after `epoch`."""
    return recipe.ema_half_life > 0 or num_averaged(recipe, epoch) > 0


def draw_batch(
    recipe: Recipe, data: TrainingData, epoch: int, indices: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Training inputs [B, ...] and their targets, classes [B] or what else the loss takes.

    What augmentation draws comes from torch's global generator.
    """
    x, y, augmentation = data.train_x[indices], data.train_y[indices], recipe.augmentation
    if isinstance(recipe.loss, Distillation):
        assert data.teacher is not None
        y = with_teacher(y, data.teacher[indices])
    if augmentation.is_identity:
        return x, y
    x = augmentation.apply(x, epoch, indices)
    if augmentation.mix == "none":
        return x, y
    x, mixed = augmentation.mixed(x, y)
    return x, _probabilities(mixed, data.num_classes).to(x)


def refuse_misfits(recipe: Recipe, data: TrainingData) -> None:
    """Hold a recipe against the data.

    Raises:
        ValueError: if they do not go together.
    """
    recipe.augmentation.check(data.input_shape)
    if not isinstance(recipe.optimizer, Lbfgs):
        return
    if recipe.batch_size != len(data.train_y):
        raise ValueError(
            f"batch_size: must be all {len(data.train_y)} training examples for optimizer.kind lbfgs, whose loss must "
            f"stay the same along a line, but got {recipe.batch_size}. Change it, or use another optimizer."
        )
    if recipe.batch_growth.every > 0:
        raise ValueError(
            "batch_growth.every: must be 0 for optimizer.kind lbfgs, whose batch holds all training examples from the "
            f"start, but got {recipe.batch_growth.every}. Set it to 0, or use another optimizer."
        )
    changing = {
        "grad_clip": recipe.grad_clip,
        "regularizer.l1": recipe.regularizer.l1,
        "regularizer.gradient_noise": recipe.regularizer.gradient_noise,
    }
    for path, value in changing.items():
        if value > 0:
            raise ValueError(
                f"{path}: must be 0 for optimizer.kind lbfgs, which needs the gradient of its loss as it is, but got "
                f"{value}. Set it to 0, or use another optimizer."
            )


def _probabilities(mixed: Mixed, num_classes: int) -> torch.Tensor:
    """[B, C]."""
    own, other = (functional.one_hot(y, num_classes) for y in (mixed.y, mixed.other_y))
    share = mixed.share.unsqueeze(1)
    return share * own + (1 - share) * other
