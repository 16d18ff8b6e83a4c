"""What the doctor finds, and what it mends."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from hpo.execution.nodes import Node
from hpo.folders.doctor import check_up, node_problems
from hpo.paths import SweepPaths
from hpo.records import End, EndKind, Report
from hpo.tracking import entries
from hpo.tracking.spool import Spool, open_spool
from hpo.versions import versions

SWEEP = """
name: small
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: 'loguniform(1e-3, 1)'}
"""


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    return SweepPaths(tmp_path / "runs" / "small-3f2a")


@pytest.fixture
def closed_port() -> Iterator[int]:
    with closing(socket.socket()) as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def leave(paths: SweepPaths, uri: str, *more: entries.Entry) -> Spool:
    """A sweep whose driver has told MLflow nothing of its one trial; who holds the file, is told."""
    paths.root.mkdir(parents=True)
    paths.resolved.write_text(f"{SWEEP}tracking: {{uri: '{uri}', experiment: digits}}\n")
    spool = open_spool(paths.outbox)
    life = (
        entries.begun({"hpo.metric": "val_accuracy"}, 1_000),
        entries.started(0, {"optimizer.lr": 0.1}, None, 2_000),
        entries.reported(Report(trial_id=0, epoch=1, metrics={"val_accuracy": 0.5}), 3_000),
        entries.ended(0, End(kind=EndKind.COMPLETE, epoch=1, value=0.5), "val_accuracy", 4_000),
    )
    for entry in (*life, *more):
        spool.append(entries.to_line(entry))
    return spool


def test_what_waits_is_written_to_a_store_that_answers(paths: SweepPaths, uri: str) -> None:
    leave(paths, uri).close()

    [found] = check_up([paths])

    runs = {run.info.run_name: run for run in MlflowClient(uri).search_runs(["1"])}
    assert (found.mlflow, found.num_waiting, found.num_left, found.problems) == ("answers", 4, 0, [])
    assert not paths.outbox.exists()
    assert runs.keys() == {"small-3f2a", "small-3f2a/0"}
    assert runs["small-3f2a/0"].data.metrics == {"val_accuracy": 0.5, "final_val_accuracy": 0.5, "epochs": 1.0}
    assert (runs["small-3f2a"].info.start_time, runs["small-3f2a/0"].info.status) == (1_000, "FINISHED")


def test_what_waits_for_a_store_that_is_away_stays(paths: SweepPaths, closed_port: int) -> None:
    leave(paths, f"http://127.0.0.1:{closed_port}").close()

    [found] = check_up([paths])

    assert (found.mlflow, found.num_waiting, found.num_left) == ("away", 4, 4)
    assert f"http://127.0.0.1:{closed_port}: MLflow must answer, but does not (" in found.problems[0]


def test_what_a_driver_writes_is_left_to_it(paths: SweepPaths, uri: str) -> None:
    held = leave(paths, uri)

    [found] = check_up([paths])

    assert (found.has_driver, found.num_waiting, found.num_left, found.problems) == (True, 4, 4, [])
    held.close()


def test_an_artifact_that_is_gone_is_said_and_the_rest_is_written(paths: SweepPaths, uri: str) -> None:
    leave(paths, uri, entries.Entry(trial_id=None, artifact=paths.leaderboard)).close()

    [found] = check_up([paths])

    assert found.num_left == 0
    assert "1 entries were refused by MLflow" in found.problems[0]
    assert "leaderboard.csv: an artifact must stay until the sweep has finished, but it is gone" in found.problems[0]


def test_a_database_that_is_not_there_is_not_made(paths: SweepPaths, tmp_path: Path) -> None:
    leave(paths, f"sqlite:///{tmp_path}/elsewhere.db").close()

    [found] = check_up([paths])

    assert not (tmp_path / "elsewhere.db").exists()
    assert (found.mlflow, found.num_left) == ("away", 4)
    assert "elsewhere.db: must be MLflow's database, but is not there. Put it back" in found.problems[0]


def test_a_variable_that_the_environment_lacks_is_told(paths: SweepPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_PASSWORD", raising=False)
    leave(paths, "postgresql://me:${MLFLOW_PASSWORD}@db/mlflow").close()

    [found] = check_up([paths])

    assert "the environment must set MLFLOW_PASSWORD, but does not" in found.problems[0]


def test_a_study_is_whole_or_broken_or_not_begun(tmp_path: Path) -> None:
    whole, damaged, cut, none = (SweepPaths(tmp_path / name) for name in ("whole", "damaged", "cut", "none"))
    for paths in (whole, damaged, cut, none):
        paths.root.mkdir()
        paths.resolved.write_text(f"{SWEEP}tracking: none\n")
    for paths in (whole, damaged, cut):
        make_study(paths.study)
    content = damaged.study.read_bytes()
    damaged.study.write_bytes(content[: len(content) // 2] + b"\xa5" * 4096 + content[len(content) // 2 + 4096 :])
    cut.study.write_bytes(content[:5000])

    found = check_up([whole, damaged, cut, none])

    assert [checkup.study for checkup in found] == ["whole", "broken", "broken", "none"]
    assert [len(checkup.problems) for checkup in found] == [0, 1, 1, 0]
    assert "study.db: must be whole, but SQLite finds it damaged (" in found[1].problems[0]
    assert {checkup.mlflow for checkup in found} == {"off"}


def test_a_sweep_file_that_cannot_be_read_is_told_and_hides_nothing_else(paths: SweepPaths, uri: str) -> None:
    leave(paths, uri).close()
    paths.resolved.write_text("name: [")
    paths.study.write_text("not a database")

    [found] = check_up([paths])

    assert (found.mlflow, found.study, found.num_left) == ("unknown", "broken", 4)
    assert len(found.problems) == 2


def test_versions_are_those_of_python_and_the_libraries() -> None:
    assert list(versions()) == ["python", "hpo", "torch", "ray", "optuna", "mlflow"]


def make_study(path: Path) -> None:
    """As much of one as the doctor reads, over many pages."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE studies (study_name TEXT)")
        connection.execute("INSERT INTO studies VALUES ('hpo')")
        connection.execute("CREATE TABLE trials (number INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO trials VALUES (?, ?)", ((number, "x" * 500) for number in range(500)))


def node(name: str, **answer: Any) -> Node:
    return Node(**{"name": name, "num_cpus": 1, "num_gpus": 0, "versions": versions(), **answer})


def test_nodes_that_are_like_this_one_have_no_problem() -> None:
    slow = {"ahead_s": -1.4, "uncertain_s": 0.5}  # asking took so long that it may be right

    assert node_problems([node("10.0.0.1"), node("10.0.0.2", ahead_s=0.9), node("10.0.0.3", **slow)]) == []


def test_what_is_wrong_with_nodes_is_said_of_each() -> None:
    torch = versions()["torch"]
    nodes = [
        node("10.0.0.1", versions={**versions(), "torch": "2.12.1"}),
        node("10.0.0.2", ahead_s=-7.25, uncertain_s=0.1),
        node("10.0.0.3", unreached={"s3://me:secret@bucket/x": "no route to host"}),
        node("10.0.0.4", silent="GetTimeoutError: 120 s", versions={}),
    ]

    assert node_problems(nodes) == [
        f"10.0.0.1: must have torch {torch} as here, but has 2.12.1. Install that.",
        "10.0.0.2: its clock must be within 1 s of the one here, but is -7.2 s off. Let it follow a time server.",
        (
            "10.0.0.3: must reach s3://me:***@bucket/x, but cannot: no route to host. Name a store, or a folder that "
            "all share."
        ),
        "10.0.0.4: must answer, but does not (GetTimeoutError: 120 s). Look at its log, or restart it.",
    ]
