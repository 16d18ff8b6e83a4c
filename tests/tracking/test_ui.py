"""The page of a sweep, and the server that shows it."""

import json
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from hpo.errors import ResourceError, SweepNotFoundError
from hpo.records import End, EndKind, Goal
from hpo.tracking import MlflowTracker, SweepStatus, ui
from hpo.tracking.location import absolute, artifact_folder
from tests.servers import free_port


def track_a_sweep(uri: str, outbox: Path) -> None:
    tracker = MlflowTracker(uri, "digits", "digits-3f2a", outbox=outbox, metric="val_loss", goal=Goal.MINIMIZE, tags={})
    tracker.start(0, {"optimizer.lr": 0.1})
    tracker.end(0, End(kind=EndKind.COMPLETE, epoch=1, value=0.5))
    assert tracker.finish({}, SweepStatus.FINISHED) is None


def test_a_relative_database_counts_from_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert absolute("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert absolute("http://tracking:5000") == "http://tracking:5000"
    assert absolute("sqlite:///${FOLDER}/mlflow.db") == "sqlite:///${FOLDER}/mlflow.db"


def test_artifacts_lie_beside_a_local_database_only() -> None:
    assert artifact_folder("sqlite:////data/mlflow.db", "team/digits") == Path("/data/mlruns/team-digits")
    assert artifact_folder("http://tracking:5000", "digits") is None


def test_the_command_serves_to_this_machine_only_and_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cret")

    command, environment = ui.command(5001), ui.environment("postgresql://me:${DB_PASSWORD}@db/mlflow")

    serving = ("--host", "127.0.0.1", "--port", "5001", "--workers", "1")
    assert command == [sys.executable, "-m", "mlflow", "server", *serving]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:s3cret@db/mlflow"


def test_the_server_starts_without_job_processes_unless_the_user_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    default = ui.environment("sqlite:///mlflow.db")["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"]
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")

    assert default == "false"
    assert ui.environment("sqlite:///mlflow.db")["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "true"


def test_the_page_of_a_sweep_lists_its_trials_best_first_with_their_params(uri: str, outbox: Path) -> None:
    from mlflow import MlflowClient

    track_a_sweep(uri, outbox)

    address = ui.url_of_sweep(uri, "digits", "digits-3f2a")

    view = json.loads(MlflowClient(uri).get_experiment("1").tags["mlflow.sharedViewState.digits-3f2a"])
    assert address.endswith("/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=digits-3f2a")
    assert view["searchFilter"] == "attributes.run_name LIKE 'digits-3f2a/%'"
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`final_val_loss`", True)
    assert "params.`optimizer.lr`" in view["selectedColumns"]


@pytest.mark.parametrize("experiment", ["digits", "other"])
def test_the_page_of_an_unknown_sweep_is_refused(uri: str, outbox: Path, experiment: str) -> None:
    track_a_sweep(uri, outbox)

    with pytest.raises(SweepNotFoundError, match="no sweep 'nope' in experiment"):
        ui.url_of_sweep(uri, experiment, "nope")


@pytest.mark.slow
def test_a_started_server_takes_a_sweep_and_shows_it(uri: str, outbox: Path) -> None:
    port = free_port()
    process = ui.start(uri, port)
    try:
        track_a_sweep(ui.url(port), outbox)
        address = ui.url_of_sweep(ui.url(port), "digits", "digits-3f2a")
        query = f"{ui.url(port)}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote('digits')}"
        with urllib.request.urlopen(query) as answer:
            experiment_id = json.load(answer)["experiment"]["experiment_id"]
        with pytest.raises(ResourceError, match="must be free, but a server answers there"):
            ui.start(uri, port)
    finally:
        process.terminate()
        process.wait()

    assert address.startswith(f"{ui.url(port)}/#/experiments/{experiment_id}/runs?")


@pytest.mark.slow
def test_a_server_that_cannot_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database")

    with pytest.raises(ResourceError, match=r"MLflow must answer at http://127.0.0.1:\d+ within 60 s"):
        ui.start(f"sqlite:///{tmp_path}/mlflow.db", free_port(), timeout_s=60)
