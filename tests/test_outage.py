"""A sweep whose MLflow server is killed, and then its driver: afterwards nothing is missing and nothing is double."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from hpo.folders.doctor import check_up
from hpo.paths import SweepPaths, list_sweeps
from hpo.search.reading import read_trials
from hpo.sweep import load_sweep
from hpo.tracking import ui
from hpo.tracking.spool import num_waiting
from tests.servers import free_port

SWEEP = """
name: outage
data: {kind: digits}
model: {kind: mlp, hidden: [8]}
epochs: 3
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: 'loguniform(1e-3, 1)'}
sampler: {kind: random}
scheduler: {kind: asha, min_epochs: 1, eta: 2}
budget: {trials: 5000}
resources: {lanes: 1}
"""
DRIVER = (
    "from pathlib import Path; from hpo.run import run_sweep, start_local; from hpo.sweep import load_sweep\n"
    "run_sweep(load_sweep(Path('outage.yaml')), start_executor=start_local)"
)


class Server:
    """An MLflow server that is killed as a machine is."""

    def __init__(self, store: str) -> None:
        self.port = free_port()
        self._store = store
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ui.command(self.port), env=ui.environment(self._store), stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(lambda: ui.is_up(ui.url(self.port)))

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(uri: str) -> Iterator[Server]:
    server = Server(uri)
    server.start()
    yield server
    server.kill()


def wait_until(happened: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_server_and_driver_are_killed_and_the_doctor_leaves_no_gap_and_no_double(
    server: Server, tmp_path: Path
) -> None:
    where = ui.url(server.port)
    (tmp_path / "outage.yaml").write_text(f"{SWEEP}tracking: {{uri: '{where}'}}\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", DRIVER], cwd=tmp_path, env=environment) as driver:
        wait_until(lambda: len(runs_of(where)) > 10)
        [paths] = list_sweeps(tmp_path / "runs")
        server.kill()
        wait_until(lambda: num_waiting(paths.outbox) > 100)
        driver.kill()
    server.start()

    [found] = check_up([paths])

    assert (found.num_left, found.problems) == (0, [])
    assert found.num_waiting > 100
    assert_equal_to_study(where, paths)


def assert_equal_to_study(where: str, paths: SweepPaths) -> None:
    """But for the one thing that the driver had told the first of the two when it was killed, and not the second."""
    runs, client = runs_of(where), MlflowClient(where)
    trials = {str(trial.trial_id): trial for trial in read_trials(paths.study, load_sweep(paths.resolved).space)}
    names = [run.data.tags.get("hpo.trial") for run in runs]
    assert len(names) == len(set(names))
    num_apart = 0
    for name, run in zip(names, runs, strict=True):
        if name is None:
            continue
        trial = trials.pop(name)
        series = {metric: client.get_metric_history(run.info.run_id, metric) for metric in run.data.metrics}
        steps = [point.step for point in series.pop("val_accuracy", [])]
        assert steps == list(range(1, len(steps) + 1))
        assert all(len(points) in (1, len(steps)) for points in series.values())
        end = None if trial.end is None else trial.end.kind.value
        num_apart += (len(steps) != len(trial.values)) + (run.data.tags.get("hpo.end") != end)
    num_apart += sum(bool(trial.values) for trial in trials.values())  # one that was only asked for, nobody was told of
    assert num_apart <= 1


def runs_of(where: str) -> list[Run]:
    client = MlflowClient(where)
    found = client.get_experiment_by_name("outage")
    return [] if found is None else list(client.search_runs([found.experiment_id], max_results=5000))
