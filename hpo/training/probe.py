"""Trying a recipe for a few steps, to know what a trial will cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from hpo.training.course import snapshot_epochs
from hpo.training.data.splits import Examples, Splits
from hpo.training.examples import as_tensors
from hpo.training.luck import Luck
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo
from hpo.training.state import Tensors
from hpo.training.teacher import teacher_log_probs

MOST_TIMES = 16
"""Weights, averages, what the optimizer holds and all of the best epoch take fewer times what the network does."""
MOST_PREDICTIONS = 4
"""By two kinds of weights, of the last epoch and the best."""
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
    try:
        with torch.random.fork_rng(devices=[]):
            solo, num_tried = _begun(recipe, splits, NUM_STEPS)
            solo.train_epoch(1)  # warms up
            training_s = _seconds(lambda: solo.train_epoch(2))
            validation_s = _seconds(solo.evaluate)
    finally:
        torch.set_num_threads(num_threads)
    seconds = training_s * len(splits.train) / num_tried + validation_s
    return Cost(seconds_per_epoch=seconds, checkpoint_bytes=_num_bytes(solo, recipe))


def state_bytes(recipe: Recipe, splits: Splits) -> int:
    """Of a trial's state on disk, as it is after a step."""
    with torch.random.fork_rng(devices=[]):
        solo, _ = _begun(recipe, splits, 1)
        solo.train_epoch(1)
    return _num_bytes(solo, recipe)


def most_state_bytes(recipe: Recipe, splits: Splits) -> int:
    """More than any trial's state takes, known without a step of training."""
    with torch.random.fork_rng(devices=[]):
        network = _bytes(recipe.model.build(splits.input_shape, splits.num_classes).state_dict())
    predicted = 2 * len(splits.validation) * splits.num_classes
    num_snapshots = len(snapshot_epochs(recipe))
    return (MOST_TIMES + num_snapshots) * network + (MOST_PREDICTIONS + num_snapshots) * predicted


def _begun(recipe: Recipe, splits: Splits, num_steps: int) -> tuple[Solo, int]:
    """A trial whose epochs have so many steps; and of how many examples."""
    num_tried = min(len(splits.train), num_steps * recipe.batch_size)
    part = Examples(splits.train.x[:num_tried], splits.train.y[:num_tried])
    teacher = teacher_log_probs(recipe.loss, part.x, splits.normalization)
    data = as_tensors(part, splits.validation, splits.num_classes, torch.device("cpu"), teacher)
    return Solo(recipe, data, Luck(0, 0), initial_state(recipe, data, 0, 0)), num_tried


def _num_bytes(solo: Solo, recipe: Recipe) -> int:
    """On disk, with what early stopping may go back to, and all snapshots."""
    state, [log_probs] = solo.state(0, 1), solo.predict()
    network, predicted = _bytes(state.module), _bytes(log_probs)
    left = network + _bytes(state.averaged) + predicted
    num_left = 2 if recipe.early_stopping.patience > 0 else 1
    return left * num_left + (network + predicted) * len(snapshot_epochs(recipe)) + _bytes(state.optimizer)


def _bytes(tensors: Tensors) -> int:
    return sum(value.nbytes for value in tensors.values())


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
