"""Training a segment: recipes, seeds and checkpoints in, reports and checkpoints out."""

import math
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

from hpo.paths import SweepPaths
from hpo.records import Failure, Report, Segment, TrialSpec
from hpo.training.checkpoint import read_checkpoint, write_checkpoint
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.recipe import Recipe
from hpo.training.solo import Epoch, Solo


def train(segment: Segment, data: TrainingData, paths: SweepPaths) -> Iterator[Report | Failure]:
    """Train every trial of the cohort from one epoch to the other; one report per trial and epoch.

    A trial's last report follows its checkpoint, so it never speaks of a state that is not on disk. A trial
    whose code raises yields a failure and the others go on; one whose loss is not finite reports so and ends.
    torch's global generator is left as it was.
    """
    for trial in segment.cohort:
        with torch.random.fork_rng(devices=[]):
            try:
                yield from _train_alone(trial, segment, data, paths)
            except Exception as error:  # noqa: BLE001 - whatever a trial raises becomes its record
                yield Failure(
                    trial_id=trial.trial_id,
                    error=f"{type(error).__name__}: {error}",
                    traceback=traceback.format_exc(),
                )


def _train_alone(trial: TrialSpec, segment: Segment, data: TrainingData, paths: SweepPaths) -> Iterator[Report]:
    recipe = Recipe.model_validate_json(trial.recipe)
    luck = Luck(segment.seed, trial.seed_index)
    if segment.from_epoch == 0:
        solo = Solo.start(recipe, data, luck, trial.trial_id)
    else:
        solo = Solo.resume(recipe, data, luck, read_checkpoint(Path(segment.checkpoints[trial.trial_id])))
    for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
        started = time.perf_counter()
        trained = solo.train_epoch(epoch)
        seconds = time.perf_counter() - started
        if trained.first_bad_step is not None:
            yield _diverged(trial, epoch, trained, seconds)
            return
        loss, accuracy = solo.evaluate()
        if not math.isfinite(loss):
            last_step = epoch * math.ceil(len(data.train_y) / recipe.batch_size) - 1
            yield _diverged(trial, epoch, Epoch(train_loss=math.nan, lr=trained.lr, first_bad_step=last_step), seconds)
            return
        checkpoint = None
        if epoch == segment.to_epoch:
            path = paths.checkpoint(trial.trial_id, epoch, segment.generation, segment.attempt)
            write_checkpoint(path, solo.state(epoch))
            checkpoint = str(path)
        yield Report(
            trial_id=trial.trial_id,
            epoch=epoch,
            metrics={
                "train_loss": trained.train_loss,
                "val_loss": loss,
                "val_accuracy": accuracy,
                "lr": trained.lr,
                "seconds": time.perf_counter() - started,
                "samples_per_second": len(data.train_y) / seconds,
            },
            checkpoint=checkpoint,
        )


def _diverged(trial: TrialSpec, epoch: int, trained: Epoch, seconds: float) -> Report:
    metrics = {"lr": trained.lr, "seconds": seconds}
    return Report(trial_id=trial.trial_id, epoch=epoch, metrics=metrics, first_bad_step=trained.first_bad_step)
