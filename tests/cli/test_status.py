"""Sweeps as they stand: real ones, that run, were paused, were killed, or are broken."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hpo.folders.notice import Notice, read_notice
from hpo.folders.status import State, list_states
from hpo.paths import SweepPaths, list_sweeps
from hpo.progress import EnsembleSoFar
from hpo.run import cancel_sweep, run_sweep, start_local
from hpo.search import postgres
from hpo.search.storage import Owner, owned
from hpo.sweep import load_sweep
from hpo.tracking.entries import begun, to_line
from hpo.tracking.spool import open_spool
from tests.cli.conftest import SWEEP, Hpo
from tests.test_run import Interrupted

LONG = SWEEP.replace("epochs: 4", "epochs: 400").replace("trials: 8", "trials: 5000")
DRIVE = """
import sys
from pathlib import Path
from hpo.paths import SweepPaths, list_sweeps
from hpo.run import resume_sweep, run_sweep, start_local
from hpo.sweep import load_sweep
known = list_sweeps(Path("runs"))
if known:
    resume_sweep(known[0], start_executor=start_local)
else:
    run_sweep(load_sweep(Path("small.yaml")), start_executor=start_local)
"""


@contextmanager
def driven(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A driver of its own process, which begins the sweep of the folder, or goes on with it; it has begun."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", DRIVE], cwd=folder, env=environment) as process:
        try:
            wait_until(lambda: said_by(folder, process.pid))
            yield process
        finally:
            process.kill()


def said_by(folder: Path, process_id: int) -> bool:
    notices = [read_notice(paths.notice) for paths in list_sweeps(folder / "runs")]
    return any(said is not None and said.driver.startswith(f"process {process_id} ") and said.waits for said in notices)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told(hpo: Hpo, folder: Path, *which: str) -> dict[str, Any]:
    done = hpo("status", *which, "--json", "--runs", folder / "runs")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def paused_in(folder: Path, num_reports: int = 9, *overrides: str) -> SweepPaths:
    (folder / "small.yaml").write_text(SWEEP)
    sweep = load_sweep(folder / "small.yaml", [f"storage.checkpoints={folder / 'runs'}", *overrides])
    return run_sweep(sweep, start_executor=lambda *begun: Interrupted(start_local(*begun), num_reports)).paths


def copied(sweep_id: str, folder: Path) -> SweepPaths:
    """The finished sweep of the session, to be broken."""
    return SweepPaths(Path(shutil.copytree(Path("runs") / sweep_id, folder / "runs" / sweep_id)))


def test_ls_shows_what_has_become_of_a_sweep(hpo: Hpo, sweep_id: str) -> None:
    done = hpo("ls")

    lines = [line.split() for line in done.output.splitlines()]
    assert lines[0] == ["id", "name", "state", "trials", "best", "begun", "took"]
    assert lines[1][:4] == [sweep_id, "small", "finished", "8/8"]
    assert lines[1][4] == f"{json.loads(hpo('ls', '--json').output)[0]['best']['value']:.4f}"


def test_a_finished_sweep_says_what_it_has_spent_and_found(hpo: Hpo, sweep_id: str) -> None:
    found = json.loads(hpo("status", sweep_id, "--json").output)
    best = json.loads(hpo("trials", sweep_id, "--json").output)[0]
    files = (Path("runs") / sweep_id / "checkpoints").glob("*/*")

    assert (found["state"], found["driver"], found["waits"]) == ("finished", None, [])
    assert found["ended"] == "all trials are through"
    assert sum(found["trials"].values()) == found["spent"]["trials"] == found["budget"]["trials"] == 8
    assert found["best"] == {"trial": best["trial"], "value": best["value"]}
    assert found["states_bytes"] == sum(file.stat().st_size for file in files) > 0
    assert found["elapsed_s"] > 0


def test_status_names_the_ensemble_and_what_it_is_worth(hpo: Hpo, folder: Path, sweep_id: str) -> None:
    told = json.loads((folder / "runs" / sweep_id / "ensemble.json").read_text())

    shown, found = hpo("status", sweep_id), json.loads(hpo("status", sweep_id, "--json").output)

    assert found["ensemble"]["held_out"] == {name: told["held_out"][name] for name in ("nll", "accuracy")}
    assert f"greedy of {len(told['members'])} network" in shown.output
    assert f"NLL {told['held_out']['nll']:.4g}"[:8] in shown.output


def test_epochs_are_counted_as_the_driver_did(hpo: Hpo, sweep_id: str) -> None:
    trials = json.loads(hpo("trials", sweep_id, "--json").output)

    found = json.loads(hpo("status", sweep_id, "--json").output)

    assert found["spent"]["epochs"] == sum(trial["epoch"] for trial in trials)


def test_status_shows_the_newest_sweep_and_its_lines_can_be_read(hpo: Hpo, tmp_path: Path) -> None:
    paths = paused_in(tmp_path, 9, "storage.keep=20MB", "budget.minutes=90")

    said = hpo("status", "--runs", tmp_path / "runs").output

    assert said.startswith(f"{paths.sweep_id} paused")
    assert f"hpo resume {paths.sweep_id}; nothing is lost" in said
    assert "0:00:0" in said
    assert " of 1:30:00" in said
    assert " of 20 MB" in said


def test_no_sweeps_are_no_error_of_ls_and_one_of_status(hpo: Hpo, tmp_path: Path) -> None:
    listed, asked = hpo("ls", "--runs", tmp_path), hpo("status", "--runs", tmp_path)

    assert (listed.exit_code, listed.output) == (0, "No sweeps here.\n")
    assert asked.exit_code == 1


def test_a_driver_is_named_while_it_runs_and_missed_when_it_was_killed_and_pauses_in_order(
    hpo: Hpo, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(LONG)

    with driven(tmp_path) as driver:
        wait_until(lambda: "running" in told(hpo, tmp_path)["trials"])  # between two segments none is
        running = told(hpo, tmp_path)
        second = hpo("resume", running["id"], "--runs", tmp_path / "runs")
    lost = told(hpo, tmp_path)
    with driven(tmp_path) as successor:
        again = told(hpo, tmp_path)
        successor.send_signal(signal.SIGINT)
        successor.wait()
    paused = told(hpo, tmp_path)

    assert (running["state"], running["driver"]) == ("running", f"process {driver.pid} on {socket.gethostname()}")
    assert running["waits"] == ["the one slot is taken"]
    assert (second.exit_code, second.stderr) == (
        1,
        (
            f"error: {running['id']}: must have no driver to go on here, but {running['driver']} goes on with it. "
            f"Look on: hpo logs {running['id']} -f\n"
        ),
    )
    assert (lost["state"], lost["driver"], lost["waits"]) == ("lost", None, [])
    assert lost["trials"]["waiting"] > 0
    assert "running" not in lost["trials"]
    assert (again["state"], again["elapsed_s"] > lost["elapsed_s"]) == ("running", True)
    assert (paused["state"], paused["elapsed_s"] > again["elapsed_s"]) == ("paused", True)


def test_a_cancelled_sweep_stays_one_and_says_whom_that_has_ended(hpo: Hpo, tmp_path: Path) -> None:
    paths = paused_in(tmp_path)
    before = told(hpo, tmp_path)

    cancel_sweep(paths)

    after = told(hpo, tmp_path)
    assert (before["state"], after["state"], after["ended"]) == ("paused", "cancelled", "cancelled")
    assert after["trials"]["cancelled"] == before["trials"]["waiting"]


def test_a_sweep_that_its_budget_has_ended_says_which_limit_did(hpo: Hpo, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SWEEP)
    kept = [f"storage.checkpoints={tmp_path / 'runs'}", "budget.epochs=3", "export.formats=[]"]
    run_sweep(load_sweep(tmp_path / "small.yaml", kept), start_executor=start_local)

    found = told(hpo, tmp_path)

    assert (found["state"], found["ended"]) == ("finished", "budget.epochs: 3 reached")


def test_what_a_driver_said_is_shown_only_while_that_driver_runs(tmp_path: Path) -> None:
    paths = paused_in(tmp_path)
    said = Notice(driver="process 1 on elsewhere", began_s=0.0, elapsed_s=0.0, waits=("for ever",))
    mine = Notice(driver=str(Owner.this()), began_s=1000.0, elapsed_s=60.0, waits=("a moment",))

    paths.notice.write_text(json.dumps(asdict(said)))
    [lost] = list_states([paths], now_s=1010.0)
    with owned(paths.lock):
        [stale] = list_states([paths], now_s=1010.0)
        paths.notice.write_text(json.dumps(asdict(mine)))
        [fresh] = list_states([paths], now_s=1010.0)

    assert (lost.state, list(lost.waits)) == (State.LOST, [])
    assert (stale.state, list(stale.waits)) == (State.RUNNING, [])
    assert (fresh.state, list(fresh.waits), fresh.elapsed_s) == (State.RUNNING, ["a moment"], 70.0)


def test_a_running_sweep_shows_its_ensemble_so_far_beside_the_best_single_network(hpo: Hpo, tmp_path: Path) -> None:
    paths = paused_in(tmp_path)
    so_far = EnsembleSoFar(num_members=3, nll=0.25, accuracy=0.875, single_nll=0.5, single_accuracy=0.75)
    mine = Notice(driver=str(Owner.this()), began_s=time.time(), elapsed_s=0.0, ensemble=so_far)
    paths.notice.write_text(json.dumps(asdict(mine)))

    with owned(paths.lock):
        running, shown = told(hpo, tmp_path), hpo("status", "--runs", tmp_path / "runs").output
    lost = told(hpo, tmp_path)

    assert running["ensemble_so_far"] == asdict(so_far)
    words = " ".join(shown.split())
    assert "so far of 3: NLL 0.250, accuracy 0.875; best single NLL 0.500, accuracy 0.750" in words
    assert lost["ensemble_so_far"] is None


def test_a_sweep_without_a_trial_has_not_begun(hpo: Hpo, sweep_id: str, tmp_path: Path) -> None:
    paths = copied(sweep_id, tmp_path)
    paths.study.unlink()

    found = told(hpo, tmp_path)

    assert (found["state"], found["spent"]) == ("not begun", {"trials": 0, "epochs": 0, "minutes": 0.0})


def test_entries_that_mlflow_has_not_got_are_counted(hpo: Hpo, sweep_id: str, tmp_path: Path) -> None:
    paths = copied(sweep_id, tmp_path)
    with closing(open_spool(paths.outbox)) as spool:
        spool.append(to_line(begun({}, 0)))

    said = hpo("status", "--runs", tmp_path / "runs").output

    assert f"1 entries wait to be written: hpo doctor {sweep_id}" in " ".join(said.split())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(lambda paths: paths.study.write_bytes(paths.study.read_bytes()[:5000]), "study.db", id="half"),
        pytest.param(lambda paths: paths.study.write_text("hello"), "must be the database of a study", id="text"),
        pytest.param(lambda paths: paths.resolved.write_text("name: ["), "resolved.yaml", id="file"),
        pytest.param(lambda paths: paths.notice.write_text("{"), "must be what a driver wrote", id="notice"),
    ],
)
def test_a_broken_sweep_says_so_and_the_others_are_shown(
    hpo: Hpo, sweep_id: str, tmp_path: Path, spoil: Callable[[SweepPaths], object], why: str
) -> None:
    spoil(copied(sweep_id, tmp_path))
    shutil.copytree(Path("runs") / sweep_id, tmp_path / "runs" / "whole-0000")

    done = hpo("ls", "--runs", tmp_path / "runs")

    states = {line.split()[0]: line for line in done.output.splitlines() if line.strip()}
    assert done.exit_code == 0
    assert "unknown" in states[sweep_id]
    assert "finished" in states["whole-0000"]
    assert why in states[f"{sweep_id}:"]


def test_a_database_that_does_not_answer_is_asked_once_and_not_waited_for(
    hpo: Hpo, sweep_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr(postgres, "LOOK_S", 2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/hpo"
        for paths in (copied(sweep_id, tmp_path), SweepPaths(tmp_path / "runs" / "other-0000")):
            shutil.copytree(Path("runs") / sweep_id, paths.root, dirs_exist_ok=True)
            paths.resolved.write_text(paths.resolved.read_text().replace("study: sqlite", f"study: {url}"))
        states = list_states(list_sweeps(tmp_path / "runs"), time.time())

    assert [state.state for state in states] == [State.UNKNOWN] * 2
    assert sum("the database must answer, but does not" in str(state.problem) for state in states) == 1
    assert sum("the database did not answer a moment ago" in str(state.problem) for state in states) == 1


def test_a_logbook_that_hpo_did_not_write_is_told(tmp_path: Path) -> None:
    paths = paused_in(tmp_path)

    with closing(sqlite3.connect(paths.study)) as database:
        database.execute("UPDATE study_user_attributes SET value_json = '[1]' WHERE key = 'logbook'")
        database.commit()

    [state] = list_states([paths], time.time())

    assert "the logbook must be as hpo writes it, but is not" in str(state.problem)
