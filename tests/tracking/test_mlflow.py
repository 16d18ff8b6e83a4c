"""What stands in MLflow after a sweep, through MLflow's own client."""

import math
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpo.records import End, EndKind, Goal, Parent, Report
from hpo.tracking import MlflowTracker, NullTracker, SweepStatus, Tracker
from hpo.tracking.mlflow import open_outbox

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SWEEP = "digits-3f2a"


def make_tracker(
    uri: str, outbox: Path, *, generation: int = 0, clock: Callable[[], float] | None = None
) -> MlflowTracker:
    ticks = count(1_000_000 * (generation + 1))
    return MlflowTracker(
        uri,
        "digits",
        SWEEP,
        outbox=outbox,
        metric="val_accuracy",
        goal=Goal.MAXIMIZE,
        tags={"hpo.generation": str(generation)},
        clock=clock or (lambda: next(ticks)),
    )


def report(trial_id: int, epoch: int, value: float = 0.5) -> Report:
    return Report(trial_id=trial_id, epoch=epoch, metrics={"val_accuracy": value, "val_loss": 1.0 / epoch})


def runs_of(uri: str) -> "dict[int | None, Run]":
    """By trial; fails on doubles."""
    runs = client_of(uri).search_runs(["1"])
    by_trial = {int(run.data.tags["hpo.trial"]) if "hpo.trial" in run.data.tags else None: run for run in runs}
    assert len(by_trial) == len(runs)
    return by_trial


def client_of(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(uri)


def history(uri: str, run: "Run", metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client_of(uri).get_metric_history(run.info.run_id, metric)]


def test_trackers_are_trackers(uri: str, outbox: Path) -> None:
    trackers: list[Tracker] = [make_tracker(uri, outbox), NullTracker()]

    assert all(tracker.finish({}, SweepStatus.FINISHED) is None for tracker in trackers)


def test_importing_the_room_does_not_import_mlflow() -> None:
    code = "import sys, hpo.tracking, hpo.tracking.ui; print('mlflow' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "False"


def test_trials_are_nested_in_the_sweep_with_params_tags_and_curves(uri: str, outbox: Path) -> None:
    tracker = make_tracker(uri, outbox)
    tracker.start(0, {"optimizer.lr": 0.1, "model.hidden": (8, 8)})
    tracker.log(report(0, 1, 0.5))
    tracker.log(report(0, 2, 0.75))
    tracker.end(0, End(kind=EndKind.COMPLETE, epoch=2, value=0.75))

    shortfall = tracker.finish({"num_trials": 1}, SweepStatus.FINISHED)

    assert shortfall is None
    runs = runs_of(uri)
    sweep, trial = runs[None], runs[0]
    assert trial.data.params == {"optimizer.lr": "0.1", "model.hidden": "[8, 8]"}
    assert trial.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    assert (sweep.info.run_name, trial.info.run_name) == (SWEEP, f"{SWEEP}/0")
    assert history(uri, trial, "val_accuracy") == [(1, 0.5), (2, 0.75)]
    assert trial.data.metrics["final_val_accuracy"] == 0.75
    assert (sweep.data.tags["hpo.goal"], sweep.data.tags["hpo.metric"]) == ("maximize", "val_accuracy")
    assert sweep.data.metrics == {"num_trials": 1.0}


def test_a_child_says_whose_state_it_goes_on_from_and_who_gave_way_to_it(uri: str, outbox: Path) -> None:
    tracker = make_tracker(uri, outbox)
    tracker.start(0, {})
    tracker.start(1, {})
    tracker.start(2, {}, Parent(trial_id=0, epoch=3))
    tracker.end(1, End(kind=EndKind.STOPPED, epoch=3, reason={"exploited": 2, "rung": 3}))

    tracker.finish({}, SweepStatus.FINISHED)

    runs = runs_of(uri)
    assert (runs[2].data.tags["hpo.parent"], runs[2].data.tags["hpo.parent_epoch"]) == ("0", "3")
    assert runs[1].data.tags["hpo.exploited"] == "2"
    assert "hpo.parent" not in runs[0].data.tags


def test_a_trial_can_be_tagged_when_it_is_over(uri: str, outbox: Path) -> None:
    tracker = make_tracker(uri, outbox)
    tracker.start(0, {})
    tracker.end(0, End(kind=EndKind.COMPLETE, epoch=2, value=0.75))

    tracker.tag(0, {"hpo.pareto": "true"})
    tracker.finish({}, SweepStatus.FINISHED)

    run = runs_of(uri)[0]
    assert (run.info.status, run.data.tags["hpo.pareto"]) == ("FINISHED", "true")


def test_runs_last_from_the_first_call_to_the_last(uri: str, outbox: Path) -> None:
    ticks = iter([100.0, 101.0, 105.0, 110.0])
    tracker = make_tracker(uri, outbox, clock=lambda: next(ticks))
    tracker.start(0, {})
    tracker.end(0, End(kind=EndKind.STOPPED, epoch=1))

    tracker.finish({}, SweepStatus.FINISHED)

    runs = runs_of(uri)
    assert (runs[None].info.start_time, runs[None].info.end_time) == (100_000, 110_000)
    assert (runs[0].info.start_time, runs[0].info.end_time) == (101_000, 105_000)


@pytest.mark.parametrize(
    ("kind", "status"),
    [(EndKind.COMPLETE, "FINISHED"), (EndKind.DIVERGED, "FINISHED"), (EndKind.FAILED, "FAILED")],
)
def test_an_end_becomes_a_status_and_a_tag(uri: str, outbox: Path, kind: EndKind, status: str) -> None:
    tracker = make_tracker(uri, outbox)
    tracker.start(0, {})
    tracker.end(0, End(kind=kind, epoch=1))

    tracker.finish({}, SweepStatus.FINISHED)

    run = runs_of(uri)[0]
    assert (run.info.status, run.data.tags["hpo.end"]) == (status, kind.value)


@pytest.mark.parametrize(("status", "word"), [(SweepStatus.PAUSED, "SCHEDULED"), (SweepStatus.CANCELLED, "KILLED")])
def test_no_run_is_left_running(uri: str, outbox: Path, status: SweepStatus, word: str) -> None:
    tracker = make_tracker(uri, outbox)
    tracker.start(0, {})

    tracker.finish({}, status)

    assert {run.info.status for run in runs_of(uri).values()} == {word}


def test_a_metric_that_is_not_finite_never_reaches_a_chart(uri: str, outbox: Path) -> None:
    tracker = make_tracker(uri, outbox)
    tracker.start(0, {})
    tracker.log(report(0, 1, math.nan))

    tracker.finish({}, SweepStatus.FINISHED)

    run = runs_of(uri)[0]
    assert set(run.data.metrics) == {"val_loss"}
    assert run.data.tags["hpo.not_finite"] == "val_accuracy at epoch 1"


def test_a_tracker_made_again_goes_on_without_doubles(uri: str, outbox: Path) -> None:
    first = make_tracker(uri, outbox)
    first.start(0, {"optimizer.lr": 0.1})
    first.log(report(0, 1))
    first.log(report(0, 2))
    first.finish({"num_trials": 1}, SweepStatus.PAUSED)

    second = make_tracker(uri, outbox, generation=1)
    second.start(0, {"optimizer.lr": 0.1})
    second.log(report(0, 2))
    second.log(report(0, 3))
    second.end(0, End(kind=EndKind.COMPLETE, epoch=3, value=0.5))
    second.start(1, {"optimizer.lr": 0.2})
    second.end(1, End(kind=EndKind.STOPPED, epoch=0))
    shortfall = second.finish({"num_trials": 2}, SweepStatus.FINISHED)

    assert shortfall is None
    runs = runs_of(uri)
    assert set(runs) == {None, 0, 1}
    assert [step for step, _ in history(uri, runs[0], "val_accuracy")] == [1, 2, 3]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs[None].data.tags["hpo.generation"] == "1"
    assert runs[None].data.metrics["num_trials"] == 2.0


def test_a_trial_that_goes_on_is_shown_as_running_again(uri: str, outbox: Path) -> None:
    first = make_tracker(uri, outbox)
    first.start(0, {})
    first.finish({}, SweepStatus.PAUSED)

    second = make_tracker(uri, outbox, generation=1)
    second.start(0, {})
    second.run_id(0)

    assert {run.info.status for run in runs_of(uri).values()} == {"RUNNING"}
    assert second.finish({}, SweepStatus.CANCELLED) is None


def test_what_a_killed_driver_left_is_written_by_the_next_and_may_be_told_again(uri: str, outbox: Path) -> None:
    killed = make_tracker("sqlite:////dev/null/mlflow.db", outbox)
    killed.start(0, {"optimizer.lr": 0.1})
    killed.log(report(0, 1))
    killed.log(report(0, 2))
    killed.end(0, End(kind=EndKind.STOPPED, epoch=2))
    left = outbox.with_name("left.jsonl")
    left.write_bytes(outbox.read_bytes() + b'{"trial_id":0,"points":[["val_accuracy",0.')

    second = make_tracker(uri, left, generation=1)
    second.start(0, {"optimizer.lr": 0.1})
    second.log(report(0, 2))
    second.log(report(0, 3))
    second.end(0, End(kind=EndKind.COMPLETE, epoch=3, value=0.5))
    shortfall = second.finish({}, SweepStatus.FINISHED)

    runs = runs_of(uri)
    assert shortfall is None
    assert not left.exists()
    assert [step for step, _ in history(uri, runs[0], "val_accuracy")] == [1, 2, 3]
    assert (runs[0].data.metrics["epochs"], runs[0].data.tags["hpo.end"]) == (3.0, "complete")
    assert runs[0].info.start_time == 1_000_001_000


def test_what_was_written_before_the_file_said_so_is_not_written_twice(uri: str, outbox: Path) -> None:
    killed = make_tracker(uri, outbox)
    killed.start(0, {"optimizer.lr": 0.1})
    killed.log(report(0, 1))
    killed.end(0, End(kind=EndKind.COMPLETE, epoch=1, value=0.5))
    left = outbox.with_name("left.jsonl")
    left.write_bytes(outbox.read_bytes())
    killed.finish({}, SweepStatus.FINISHED)

    shortfall = open_outbox(left, uri, "digits", SWEEP, remedy="").close(timeout_s=60)

    runs = runs_of(uri)
    assert shortfall is None
    assert [history(uri, runs[0], name) for name in ("val_accuracy", "epochs")] == [[(1, 0.5)], [(0, 1.0)]]
    assert runs[0].info.status == "FINISHED"


def test_run_id_is_that_of_the_trials_run_and_survives_a_restart(uri: str, outbox: Path) -> None:
    first = make_tracker(uri, outbox)
    first.start(4, {})
    run_id = first.run_id(4)
    first.finish({}, SweepStatus.PAUSED)

    second = make_tracker(uri, outbox, generation=1)

    assert run_id == runs_of(uri)[4].info.run_id
    assert second.run_id(4) == run_id
    assert second.finish({}, SweepStatus.FINISHED) is None


def test_files_and_folders_lie_beside_the_database(uri: str, outbox: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "best"
    bundle.mkdir()
    (bundle / "model.json").write_text("{}")
    (tmp_path / "leaderboard.csv").write_text("rank\n")
    tracker = make_tracker(uri, outbox)
    tracker.log_artifact(bundle)
    tracker.log_artifact(tmp_path / "leaderboard.csv")

    tracker.finish({}, SweepStatus.FINISHED)

    folder = tmp_path / "mlruns" / "digits" / runs_of(uri)[None].info.run_id / "artifacts"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == {"best/model.json", "leaderboard.csv"}


def test_an_artifact_that_is_gone_is_told_and_the_rest_is_written(uri: str, outbox: Path, tmp_path: Path) -> None:
    tracker = make_tracker(uri, outbox)
    tracker.log_artifact(tmp_path / "gone.html")

    shortfall = tracker.finish({}, SweepStatus.FINISHED)

    assert shortfall is not None
    assert "gone.html: an artifact must stay until the sweep has finished" in shortfall
    assert runs_of(uri)[None].info.status == "FINISHED"


def test_a_locked_database_delays_and_loses_nothing(uri: str, outbox: Path, tmp_path: Path) -> None:
    tracker = make_tracker(uri, outbox)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        tracker.start(0, {"batch_size": 64})
        tracker.log(report(0, 1))
        early = tracker.run_id(0, timeout_s=0.2)

    assert early is None
    assert tracker.finish({}, SweepStatus.FINISHED) is None
    assert history(uri, runs_of(uri)[0], "val_accuracy") == [(1, 0.5)]


def test_a_server_that_is_away_is_reported_by_finish(outbox: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tracker = make_tracker(f"http://127.0.0.1:{port}", outbox)
    tracker.start(0, {})

    shortfall = tracker.finish({}, SweepStatus.FINISHED, timeout_s=3.0)

    assert shortfall is not None
    assert "entries were not written to MLflow within 3 s" in shortfall
    assert "Max retries exceeded" in shortfall
    assert [record.name for record in caplog.records] == ["hpo.tracking.outbox"]


@pytest.mark.slow
def test_a_fresh_database_is_made_in_silence(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from hpo.records import Goal; from hpo.tracking import MlflowTracker, SweepStatus\n"
        "told = dict(outbox=Path('outbox.jsonl'), metric='m', goal=Goal.MINIMIZE, tags={})\n"
        "t = MlflowTracker('sqlite:///new/mlflow.db', 'e', 's', **told)\n"
        "t.start(0, {}); assert t.finish({}, SweepStatus.FINISHED, timeout_s=120) is None"
    )
    root = str(Path(__file__).parents[2])

    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )

    assert result.stdout + result.stderr == ""
    with closing(sqlite3.connect(tmp_path / "new" / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
