"""Sweeps that register their best model at their end."""

import logging
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hpo.harvest.registering import register_exported
from hpo.outcome import SweepResult
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
ensemble: {kind: greedy}
export: {formats: [pt2, onnx], register_as: digits}
"""


def run(folder: Path, uri: str) -> tuple[Sweep, SweepResult]:
    (folder / "sweep.yaml").write_text(SWEEP)
    sweep = load_sweep(folder / "sweep.yaml", [f"storage.checkpoints={folder / 'runs'}", f"tracking.uri={uri}"])
    return sweep, run_sweep(sweep, start_executor=start_local)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registering")


@pytest.fixture(scope="module")
def finished(folder: Path, empty_database: Path) -> tuple[Sweep, SweepResult]:
    shutil.copy(empty_database, folder / "mlflow.db")
    return run(folder, f"sqlite:///{folder}/mlflow.db")


@pytest.mark.slow
def test_the_best_model_and_the_ensemble_of_a_sweep_become_versions(
    finished: tuple[Sweep, SweepResult], folder: Path
) -> None:
    _, result = finished

    assert result.best is not None
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = {alias: client.get_model_version_by_alias("digits", alias).run_id for alias in ("best", "ensemble")}
    names = {alias: client.get_run(str(run_id)).info.run_name for alias, run_id in runs.items()}
    sweep_id = result.paths.sweep_id
    assert names == {"best": f"{sweep_id}/{result.best.trial_id}", "ensemble": sweep_id}


@pytest.mark.slow
def test_a_registry_that_is_away_is_told_with_what_to_do_later(
    finished: tuple[Sweep, SweepResult], caplog: pytest.LogCaptureFixture
) -> None:
    sweep, result = finished
    assert sweep.tracking is not None
    away = sweep.tracking.model_copy(update={"uri": f"http://127.0.0.1:{free_port()}"})

    with caplog.at_level(logging.WARNING):
        register_exported(sweep.model_copy(update={"tracking": away}), result.paths, result.paths.bundle, "best")

    message = caplog.messages[-1]
    assert message.startswith(
        f"best of {result.paths.sweep_id} is not registered: {away.uri}: MLflow must take the mod"
    )
    assert message.endswith(f"When MLflow is back: hpo register {result.paths.bundle} digits@best --uri {away.uri}")
