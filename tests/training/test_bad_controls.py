"""Sweeps that must not learn: what seems to be learned here would be no proof of learning anywhere."""

import math
from pathlib import Path

import numpy as np
import pytest

from hpo.records import EndKind, TrialRecord
from hpo.run import run_sweep, start_local
from hpo.search.reading import read_trials
from hpo.sweep import load_sweep
from hpo.training.data import Digits

CHANCE = 0.1
"""Accuracy of a guess among the ten digits, which are about equally frequent."""
SWEEP = """
data: {kind: digits, test: 0}
model: {kind: mlp, hidden: [32, 32]}
optimizer: {kind: sgd, lr: 0.1}
epochs: 4
metric: {name: val_loss, goal: minimize}
space:
  optimizer.momentum: choice(0.5, 0.9)
scheduler: {kind: none}
budget: {trials: 2}
export: {formats: []}
tracking: none
"""


def run(folder: Path, *overrides: str) -> list[TrialRecord]:
    """The trials of SWEEP, with some keys of it changed."""
    file = folder / "sweep.yaml"
    file.write_text(SWEEP)
    sweep = load_sweep(file, [f"storage.checkpoints={folder}", *overrides])
    result = run_sweep(sweep, start_executor=start_local)
    return read_trials(result.paths.study, sweep.space)


def last_metrics(trial: TrialRecord) -> tuple[float, float, float]:
    """Training loss, validation loss and accuracy of a trial that has reached its end."""
    assert trial.end is not None
    assert trial.end.kind is EndKind.COMPLETE
    metrics = trial.end.metrics
    return metrics["train_loss"], metrics["val_loss"], metrics["val_accuracy"]


def test_the_sweep_learns_where_nothing_keeps_it_from_learning(tmp_path: Path) -> None:
    for trial in run(tmp_path):
        train_loss, val_loss, accuracy = last_metrics(trial)

        assert train_loss < 0.3
        assert val_loss < 0.5
        assert accuracy > 0.85


def test_constant_weights_stay_at_chance(tmp_path: Path) -> None:
    for trial in run(tmp_path, "initializer.kind=constant", "initializer.value=0"):
        train_loss, val_loss, accuracy = last_metrics(trial)

        assert train_loss == pytest.approx(math.log(10), abs=0.05)
        assert val_loss == pytest.approx(math.log(10), abs=0.05)
        assert accuracy == pytest.approx(CHANCE, abs=0.04)


def test_a_far_too_large_rate_diverges_and_ends_the_trial_in_its_first_epoch(tmp_path: Path) -> None:
    num_steps = math.ceil(len(Digits(test=0).load(0).train) / 64)

    for trial in run(tmp_path, "optimizer.lr=10", "schedule.warmup=0", "model.activation=leaky_relu"):
        assert trial.end is not None
        assert trial.end.kind is EndKind.DIVERGED
        assert trial.end.epoch == 1
        assert 0 < int(trial.end.reason["first_bad_step"]) < num_steps
        assert trial.values == {}


def test_a_far_too_large_rate_that_kills_every_relu_stays_at_chance(tmp_path: Path) -> None:
    for trial in run(tmp_path, "optimizer.lr=10", "schedule.warmup=0"):
        train_loss, val_loss, accuracy = last_metrics(trial)

        assert min(train_loss, val_loss) > math.log(10) - 0.05
        assert accuracy == pytest.approx(CHANCE, abs=0.04)


def test_shuffled_labels_are_those_of_the_training_examples_traded_among_them() -> None:
    as_they_are, shuffled = Digits().load(0), Digits(shuffle_labels=True).load(0)

    assert np.array_equal(shuffled.train.x, as_they_are.train.x)
    assert np.array_equal(np.sort(shuffled.train.y), np.sort(as_they_are.train.y))
    assert (shuffled.train.y == as_they_are.train.y).mean() == pytest.approx(CHANCE, abs=0.04)
    assert np.array_equal(shuffled.validation.y, as_they_are.validation.y)
    assert np.array_equal(shuffled.train.y, Digits(shuffle_labels=True).load(0).train.y)


def test_shuffled_labels_stay_at_chance_on_validation(tmp_path: Path) -> None:
    for trial in run(tmp_path, "data.shuffle_labels=true", "epochs=8"):
        train_loss, val_loss, accuracy = last_metrics(trial)

        assert train_loss < math.log(10)
        assert val_loss > math.log(10) - 0.02
        assert accuracy == pytest.approx(CHANCE, abs=0.06)
