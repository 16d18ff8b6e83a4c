"""The learning-rate range test (Smith 2017): train while the rate rises exponentially, and read it off the loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from hpo.config import Config
from hpo.errors import LrRangeError
from hpo.training.batch_growth import BatchGrowth
from hpo.training.data.splits import Examples, Splits
from hpo.training.examples import TrainingData, as_tensors
from hpo.training.luck import Luck, batch_sizes
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo
from hpo.training.teacher import teacher_log_probs

Rates = npt.NDArray[np.float64]

BLOWN_UP = 4.0
"""The test ends where the smoothed loss is so many times its least value."""
NUM_UNSETTLED = 10
"""Steps at the beginning, over which the running mean of losses is still noise."""
LEAST_UNSETTLED = 1.0
"""The least loss that counts there, in nats: one batch of a pretrained network may cost ten times another."""
LEAST_STEPS = 4 * NUM_UNSETTLED
"""Fewer steps before the loss blows up say nothing."""
LEAST_FALL = 0.05
"""Share of itself by which the loss must fall for the test to say anything."""


class LrRange(Config):
    """How the learning-rate range test is run."""

    steps: Annotated[int, Field(ge=5 * NUM_UNSETTLED)] = 200
    """Of training; on few data, rounded up to whole epochs."""
    min: Annotated[float, Field(gt=0)] = 1e-6
    """Rate of the first step."""
    max: Annotated[float, Field(gt=0)] = 10.0
    """Rate at the end."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the running mean of losses that each step keeps."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.min < self.max:
            raise ValueError(f"`min < max` must hold, but got min={self.min:g}, max={self.max:g}. Swap them.")
        return self


@dataclass(frozen=True, kw_only=True)
class LrSuggestion:
    """What a curve says."""

    steepest: float
    """The rate around which the smoothed loss falls fastest over the logarithm of the rate."""
    largest_stable: float
    """The rate at which the smoothed loss is least: beyond it the loss rises again."""

    @property
    def tenth_of_largest(self) -> float:
        """The usual choice, where the steepest fall is not."""
        return self.largest_stable / 10

    def bounds(self) -> tuple[float, float]:
        """Where to search: from a tenth of the lower suggestion to the largest stable rate."""
        return min(self.steepest, self.tenth_of_largest) / 10, self.largest_stable


@dataclass(frozen=True, kw_only=True)
class LrCurve:
    """The loss over the rate, up to where it blew up or the test ended."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Of the batch of each step, before the step."""
    smoothed: tuple[float, ...]

    def suggest(self) -> LrSuggestion:
        """What the curve says.

        Raises:
            LrRangeError: if training diverged early, or the loss fell at no rate.
        """
        if len(self.rates) < LEAST_STEPS:
            raise LrRangeError(
                f"the learning-rate range test must train for at least {LEAST_STEPS} steps, but its loss blew up after "
                f"{len(self.rates)}. Lower lr_range.min, or mend the recipe."
            )
        rates, smoothed = np.array(self.rates[NUM_UNSETTLED:]), np.array(self.smoothed[NUM_UNSETTLED:])
        best = int(smoothed.argmin())
        first, least = float(smoothed[0]), float(smoothed[best])
        if least > (1 - LEAST_FALL) * first:
            raise LrRangeError(
                f"the loss must fall by {LEAST_FALL:.0%} at some rate of the learning-rate range test, but went from "
                f"{first:.4g} to {least:.4g} at best, for rates from {rates[0]:.2g} to {rates[-1]:.2g}. "
                "Raise lr_range.max or lr_range.steps, or mend the recipe."
            )
        return LrSuggestion(steepest=_steepest(rates, smoothed, best), largest_stable=float(rates[best]))


class Ramp(Config):
    """A schedule that multiplies the rate by `ratio` in all, by the same factor at every step."""

    ratio: float

    def __call__(self, progress: float) -> float:
        return float(self.ratio**progress)


def run_range_test(recipe: Recipe, splits: Splits, test: LrRange, *, seed: int, num_threads: int = 1) -> LrCurve:
    """Train `recipe` from fresh weights on a processor while its rate rises; its own rate and schedule play no part.

    No more examples are used than the steps ask for. torch's global generator is left as it was.
    """
    num = test.steps * recipe.batch_size
    part = Examples(splits.train.x[:num], splits.train.y[:num])
    teacher = teacher_log_probs(recipe.loss, part.x, splits.normalization)
    data = as_tensors(part, splits.validation, splits.num_classes, torch.device("cpu"), teacher)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with torch.random.fork_rng(devices=[]):
            return _train(recipe, data, test, seed)
    finally:
        torch.set_num_threads(threads_before)


def smooth(losses: Sequence[float], kept: float) -> list[float]:
    """Exponential running means, each divided by the weight that it has gathered (as Adam's: Kingma & Ba 2015)."""
    mean, smoothed = 0.0, []
    for step, loss in enumerate(losses, start=1):
        mean = kept * mean + (1 - kept) * loss
        smoothed.append(mean / (1 - kept**step))
    return smoothed


def num_sound(smoothed: Sequence[float]) -> int:
    """How many come before the first that is above `BLOWN_UP` times the least so far; all where that is negative."""
    least = math.inf
    for number, loss in enumerate(smoothed):
        least = min(least, loss if number >= NUM_UNSETTLED else max(loss, LEAST_UNSETTLED))
        if 0 < BLOWN_UP * least < loss:
            return number
    return len(smoothed)


def _steepest(rates: Rates, smoothed: Rates, best: int) -> float:
    """By slopes over as many steps to each side as the running mean lags behind, for from step to step it is noise."""
    width = NUM_UNSETTLED
    slopes = (smoothed[2 * width :] - smoothed[: -2 * width]) / np.log(rates[2 * width :] / rates[: -2 * width])
    return float(rates[width + slopes[: max(1, best - width)].argmin()])


def _train(recipe: Recipe, data: TrainingData, test: LrRange, seed: int) -> LrCurve:
    steps_per_epoch = len(batch_sizes(len(data.train_y), recipe.batch_size))
    num_epochs = math.ceil(test.steps / steps_per_epoch)
    ramp = Ramp(ratio=test.max / test.min)
    changes = {
        "optimizer": recipe.optimizer.model_copy(update={"lr": test.min}),
        "schedule": ramp,
        "epochs": num_epochs,
        "batch_growth": BatchGrowth(),
        "swa_start": 0.0,
    }
    rising = recipe.model_copy(update=changes)
    solo = Solo(rising, data, Luck(seed, 0), initial_state(rising, data, seed, 0))
    losses: list[float] = []
    for epoch in range(1, num_epochs + 1):
        [end] = solo.train_epoch(epoch)
        losses += end.losses
        smoothed = smooth(losses, test.smoothing)
        num = num_sound(smoothed)
        if end.first_bad_step is not None or num < len(losses):
            break
    rates = (test.min * ramp(step / (num_epochs * steps_per_epoch)) for step in range(num))
    return LrCurve(rates=tuple(rates), losses=tuple(losses[:num]), smoothed=tuple(smoothed[:num]))
