"""Sweeps that register their best model at their end."""

import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hpo.outcome import SweepResult
from hpo.registering import register_best
from hpo.run import run_sweep, start_local
from hpo.sweep import Sweep, load_sweep
from tests.servers import free_port

SWEEP = """
name: digits
data: {kind: digits}
model: {kind: mlp, hidden: [8]}
epochs: 1
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: uniform(0.1, 0.2)
scheduler: {kind: none}
budget: {trials: 2}
export: {formats: [pt2, onnx], register_as: digits}
"""


def run(folder: Path, uri: str) -> tuple[Sweep, SweepResult]:
    (folder / "sweep.yaml").write_text(SWEEP)
    sweep = load_sweep(folder / "sweep.yaml", [f"storage.checkpoints={folder / 'runs'}", f"tracking.uri={uri}"])
    return sweep, run_sweep(sweep, start_executor=start_local)


def test_the_best_model_of_a_sweep_becomes_a_version_of_the_run_it_comes_from_and_a_registry_that_is_away_is_told(
    tmp_path: Path, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    sweep, result = run(tmp_path, uri)

    assert result.best is not None
    client = MlflowClient(uri)
    version = client.get_model_version_by_alias("digits", "best")
    assert version.run_id is not None
    name = client.get_run(version.run_id).info.run_name
    assert name == f"{result.paths.sweep_id}/{result.best.trial_id}"

    assert sweep.tracking is not None
    away = sweep.tracking.model_copy(update={"uri": f"http://127.0.0.1:{free_port()}"})
    with caplog.at_level(logging.WARNING):
        register_best(sweep.model_copy(update={"tracking": away}), result.paths)
    message = caplog.messages[-1]
    assert message.startswith("The best model is not registered: http://127.0.0.1:")
    assert message.endswith(f"When MLflow is back: hpo register {result.paths.sweep_id} digits@best")
