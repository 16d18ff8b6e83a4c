"""Trying a recipe for a few steps, to know what a trial will cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from hpo.training.data.splits import Examples, Splits
from hpo.training.examples import as_tensors
from hpo.training.luck import Luck
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo
from hpo.training.teacher import teacher_log_probs

NUM_STEPS = 20
"""How long a recipe is tried."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one trial, alone on one thread of this machine."""

    seconds_per_epoch: float
    """Validation included."""
    checkpoint_bytes: int


def probe(recipe: Recipe, splits: Splits) -> Cost:
    """Train a few steps, and scale up."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    num_tried = min(len(splits.train), NUM_STEPS * recipe.batch_size)
    part = Examples(splits.train.x[:num_tried], splits.train.y[:num_tried])
    teacher = teacher_log_probs(recipe.loss, part.x, splits.normalization)
    data = as_tensors(part, splits.validation, splits.num_classes, torch.device("cpu"), teacher)
    try:
        with torch.random.fork_rng(devices=[]):
            solo = Solo(recipe, data, Luck(0, 0), initial_state(recipe, data, 0, 0))
            solo.train_epoch(1)  # warms up
            training_s = _seconds(lambda: solo.train_epoch(2))
            validation_s = _seconds(solo.evaluate)
    finally:
        torch.set_num_threads(num_threads)
    state = solo.state(0, 2)
    num_bytes = sum(value.nbytes for value in (*state.module.values(), *state.optimizer.values()))
    seconds = training_s * len(splits.train) / num_tried + validation_s
    return Cost(seconds_per_epoch=seconds, checkpoint_bytes=num_bytes)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
