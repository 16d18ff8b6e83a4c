"""Averaged weights that leave: against what was measured of them in training, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

from hpo.config import JsonTree
from hpo.errors import NoAverageError
from hpo.export import load_bundle
from hpo.export.trial import export_trial
from hpo.harvest.harvest import Harvest
from hpo.outcome import SweepResult
from hpo.records import Report, TrialRecord
from hpo.run import run_sweep, start_local
from hpo.sweep import Export, Sweep, load_sweep
from hpo.training.checkpoint import write_checkpoint
from hpo.training.data import Digits, Splits
from hpo.training.models import Mlp
from hpo.training.recipe import Recipe
from hpo.training.state import TrialState

SWEEP = """
data: {kind: digits}
model: {kind: mlp, hidden: [16], norm: batch}
optimizer: {kind: sgd, momentum: 0.9}
schedule: {kind: constant}
epochs: 4
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: uniform(0.4, 0.5)
scheduler: {kind: none}
budget: {trials: 1}
export: {weights: averaged}
tracking: none
"""


def run(folder: Path, *overrides: str) -> tuple[Sweep, SweepResult]:
    (folder / "sweep.yaml").write_text(SWEEP)
    sweep = load_sweep(folder / "sweep.yaml", [f"storage.checkpoints={folder}", *overrides])
    return sweep, run_sweep(sweep, start_executor=start_local)


def read_card(bundle: Path) -> JsonTree:
    return dict(json.loads((bundle / "card.json").read_text()))


def accuracy(bundle: Path, splits: Splits) -> float:
    """On the validation split, by the file itself, from raw inputs."""
    raw = splits.validation.x * splits.normalization.std + splits.normalization.mean
    return float((load_bundle(bundle).predict(raw).argmax(1) == splits.validation.y).mean())


@pytest.mark.parametrize(
    ("setting", "prefix", "average"),
    [
        ("ema_half_life=2", "ema", {"kind": "ema", "ema_half_life": 2.0}),
        ("swa_start=0.5", "swa", {"kind": "swa", "swa_start": 0.5, "num_epochs": 2}),
    ],
)
def test_a_bundle_of_averaged_weights_predicts_exactly_what_was_measured_of_them(
    setting: str, prefix: str, average: JsonTree, tmp_path: Path
) -> None:
    sweep, result = run(tmp_path, setting)

    assert result.bundle is not None
    assert result.best is not None
    assert result.best.end is not None
    card, measured = read_card(result.bundle), result.best.end.metrics
    assert accuracy(result.bundle, sweep.data.load(0)) == measured[f"{prefix}_val_accuracy"]
    assert measured[f"{prefix}_val_accuracy"] != measured["val_accuracy"]
    assert (card["weights"], card["average"]) == ("averaged", average)
    assert card["metrics"] == {name: measured[name] for name in (f"{prefix}_val_loss", f"{prefix}_val_accuracy")}


def test_raw_weights_are_exported_beside_an_average_unless_it_is_asked_for(tmp_path: Path) -> None:
    sweep, result = run(tmp_path, "ema_half_life=2", "export.weights=raw")
    splits = sweep.data.load(0)
    assert result.bundle is not None
    assert result.best is not None
    assert result.best.end is not None

    harvest = Harvest(sweep, result.paths, splits, result.trials)
    averaged = harvest.export_trial(tmp_path / "averaged", result.best, asked=Export(weights="averaged"))

    card, measured = read_card(result.bundle), result.best.end.metrics
    assert (card["weights"], card["metrics"]) == ("raw", dict(measured))
    assert accuracy(result.bundle, splits) == measured["val_accuracy"]
    assert accuracy(averaged, splits) == measured["ema_val_accuracy"]


def test_the_averaged_weights_of_a_trial_that_stopped_early_are_those_of_its_best_epoch(tmp_path: Path) -> None:
    early = ("epochs=12", "early_stopping={patience: 1}", "ema_half_life=1")

    sweep, result = run(tmp_path, *early)

    assert result.bundle is not None
    assert result.best is not None
    assert result.best.end is not None
    card, end = read_card(result.bundle), result.best.end
    assert (card["epoch"], end.reason["best_epoch"]) == (end.epoch - 1, end.epoch - 1)
    assert accuracy(result.bundle, sweep.data.load(0)) == end.metrics["ema_val_accuracy"]


def test_a_sweep_that_ends_before_its_average_begins_keeps_its_result_and_says_why_there_is_no_bundle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, result = run(tmp_path, "epochs=12", "early_stopping={patience: 1}", "swa_start=0.9")

    assert result.bundle is None
    assert result.best is not None
    [message] = [record.getMessage() for record in caplog.records if "exported" in record.getMessage()]
    assert message.startswith("No model is exported: trial 0 must come to the epochs whose weights are averaged")


@pytest.mark.parametrize(
    ("recipe", "epoch", "rule"),
    [
        (
            Recipe(model=Mlp(hidden=(4,))),
            3,
            (
                "trial 7 must keep an average of weights for it to be exported, but its ema_half_life and "
                "swa_start are 0. "
            ),
        ),
        (
            Recipe(model=Mlp(hidden=(4,)), epochs=8, swa_start=0.5),
            4,
            (
                "trial 7 must come to the epochs whose weights are averaged, after a share of 0.5 of 8 (swa_start), "
                "but its state is that of epoch 4. "
            ),
        ),
    ],
    ids=["none kept", "not begun"],
)
def test_a_trial_without_averaged_weights_is_refused(recipe: Recipe, epoch: int, rule: str, tmp_path: Path) -> None:
    splits = Digits().load(0)
    torch.manual_seed(0)
    module = dict(recipe.model.build(splits.input_shape, splits.num_classes).state_dict())
    average = {name: value.clone() for name, value in module.items()} if recipe.swa_start > 0 else {}
    path = tmp_path / "trial.safetensors"
    write_checkpoint(path, TrialState(epoch=epoch, module=module, optimizer={}, averaged=average))
    trial = TrialRecord(trial_id=7, params={}, kept=Report(trial_id=7, epoch=epoch, metrics={}, checkpoint=str(path)))

    with pytest.raises(NoAverageError) as caught:
        export_trial(tmp_path / "best", trial, recipe, splits, {}, weights="averaged")

    assert str(caught.value) == f"{rule}Export its raw weights (--weights raw), or another trial."
    assert not (tmp_path / "best").exists()
