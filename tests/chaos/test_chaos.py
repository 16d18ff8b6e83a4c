"""Sweeps in which everything is killed at random moments: in the end nothing is lost, and nothing is there twice."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from hpo.folders.doctor import check_up
from hpo.paths import SweepPaths, list_sweeps
from hpo.records import TrialRecord
from hpo.run import run_sweep, start_local
from hpo.search.reading import read_trials
from hpo.sweep import Sweep, load_sweep
from hpo.tracking import ui
from tests.chaos.cast import Drivers, Nodes, Server, wait_until
from tests.servers import Postgres, free_port, postgres

pytestmark = pytest.mark.slow

NUM_ROUNDS = 30
ALONE = ("driver", "driver", "mlflow")
"""Who may die where the driver trains by itself."""
ON_RAY = ("driver", "driver", "worker", "worker", "node", "mlflow")
"""Who may die where others train; beside them PostgreSQL, where it keeps the study."""
SWEEP = """
name: chaos
data: {{kind: digits}}
model: {{kind: mlp, hidden: [16]}}
epochs: 9
metric: {{name: val_accuracy, goal: maximize}}
space: {{optimizer.lr: 'loguniform(1e-3, 1)', batch_size: 'choice(16, 32)'}}
sampler: {{kind: {sampler}}}
scheduler: {scheduler}
budget: {budget}
resources: {{lanes: 1, max_concurrent: {max_concurrent}}}
retries: {{error: 3}}
export: {{formats: []}}
storage: {{checkpoints: {folder}, study: {study}}}
tracking: {tracking}
seed: {seed}
"""
PLANS = (
    ("tpe", "{kind: asha, min_epochs: 1}", "{trials: 24}"),
    ("qmc", "{kind: asha, min_epochs: 1, form: promotion}", "{trials: 24}"),
    ("random", "{kind: hyperband, min_epochs: 1}", "{trials: 24}"),
    ("tpe", "{kind: none}", "{trials: 16}"),
    ("random", "{kind: pbt, population: 8, every: 3}", "{}"),
)
"""Sampler, scheduler and budget."""


@dataclass
class Stage:
    """Everything that a round needs, and that outlives it."""

    drivers: Drivers
    nodes: Nodes
    server: Server
    postgres: Postgres


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Stage]:
    store = shutil.copy(empty_database, tmp_path_factory.mktemp("chaos") / "mlflow.db")
    nodes = Nodes()
    server = Server(f"sqlite:///{store}", free_port())
    drivers = Drivers({"RAY_ADDRESS": nodes.address})
    server.start()
    with postgres() as study_server:
        yield Stage(drivers, nodes, server, study_server)
        drivers.close()
    server.kill()
    nodes.close()


@dataclass
class Round:
    """A sweep, and what is going to happen to it."""

    folder: Path
    random: Random
    stage: Stage
    file: Path
    is_on_ray: bool
    is_on_postgres: bool

    def play(self) -> SweepPaths:
        """Kill until everybody has died who was going to; then let the sweep end."""
        longest_s = 7.0 if self.is_on_ray else 2.0
        victims = [*(ON_RAY if self.is_on_ray else ALONE), *(["postgres"] if self.is_on_postgres else [])]
        num = self.random.randint(2, 4)
        kills = [(self.random.uniform(0.2, longest_s), self.random.choice(victims)) for _ in range(num)]
        self._start(run=str(self.file))
        for after_s, victim in kills:
            if wait_until(self._has_ended, after_s):
                self._go_on()
            self._kill(victim)
        for _ in range(10):
            assert wait_until(self._has_ended, 240), f"it hangs: {self._log()}"
            if self.stage.drivers.exit_code() == 0:
                [paths] = list_sweeps(self.folder / "runs")
                return paths
            self._go_on()
        raise AssertionError(f"it never ends: {self._log()}")

    def _has_ended(self) -> bool:
        return self.stage.drivers.exit_code() is not None

    def _kill(self, victim: str) -> None:
        match victim:
            case "driver":
                self.stage.drivers.kill()
                wait_until(self._has_ended, 10)
            case "worker":
                self.stage.nodes.kill_worker(self.random)
            case "node":
                self.stage.nodes.kill_node()
            case "mlflow":
                self.stage.server.restart()
            case "postgres":
                self.stage.postgres.kill()
                self.stage.postgres.start()

    def _go_on(self) -> None:
        """As a user does, who finds a sweep that has ended before its time."""
        sweeps = list_sweeps(self.folder / "runs")
        self._start(**{"resume": str(sweeps[0].root)} if sweeps else {"run": str(self.file)})

    def _start(self, **order: str) -> None:
        self.stage.drivers.start(self.folder / "log", is_on_ray=self.is_on_ray, **order)

    def _log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]


@pytest.mark.parametrize("seed", range(NUM_ROUNDS))
def test_whoever_is_killed_nothing_is_lost_and_nothing_is_there_twice(seed: int, stage: Stage, tmp_path: Path) -> None:
    is_on_ray, is_on_postgres = seed % 3 == 0, seed % 4 == 1
    max_concurrent = 1 if seed % 2 == 0 or not is_on_ray else 2
    sampler, scheduler, budget = PLANS[seed % 5]
    text = SWEEP.format(
        sampler=sampler,
        scheduler=scheduler,
        budget=budget,
        max_concurrent=max_concurrent,
        folder=tmp_path / "runs",
        study=stage.postgres.url if is_on_postgres else "sqlite",
        tracking=f"{{uri: '{stage.server.uri}', experiment: round-{seed}}}",
        seed=seed,
    )
    file = tmp_path / "chaos.yaml"
    file.write_text(text)

    paths = Round(tmp_path, Random(seed), stage, file, is_on_ray=is_on_ray, is_on_postgres=is_on_postgres).play()

    sweep = load_sweep(paths.resolved)
    trials = read_trials(sweep.storage.place(paths), sweep.space)
    assert all(trial.end is not None for trial in trials)
    assert wait_until(lambda: ui.is_up(stage.server.uri), 60)
    [checkup] = check_up([paths])
    assert checkup.num_left == 0
    shown_as_it_was(sweep, paths, trials)
    if max_concurrent == 1:
        assert outcomes(trials) == outcomes(undisturbed(file, tmp_path))


def shown_as_it_was(sweep: Sweep, paths: SweepPaths, trials: list[TrialRecord]) -> None:
    """By MLflow: a run for each trial, ended, with a point for each epoch."""
    assert sweep.tracking is not None
    client = MlflowClient(sweep.tracking.uri)
    experiment = client.get_experiment_by_name(sweep.experiment)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`hpo.sweep` = '{paths.sweep_id}'")
    assert Counter(trial_of(run) for run in runs) == Counter([None, *(trial.trial_id for trial in trials)])
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        trial_id = trial_of(run)
        if trial_id is not None:
            points = client.get_metric_history(run.info.run_id, "val_accuracy")
            assert [(point.step, point.value) for point in points] == sorted(trials[trial_id].values.items())


def trial_of(run: Run) -> int | None:
    trial_id = run.data.tags.get("hpo.trial")
    return None if trial_id is None else int(trial_id)


def undisturbed(file: Path, folder: Path) -> list[TrialRecord]:
    overrides = [f"storage.checkpoints={folder / 'undisturbed'}", "tracking=none", "storage.study=sqlite"]
    sweep = load_sweep(file, overrides)
    return read_trials(run_sweep(sweep, start_executor=start_local).paths.study, sweep.space)


def outcomes(trials: list[TrialRecord]) -> list[object]:
    """All that a sweep must repeat: trials, values and ends, but not how long they took."""
    return [
        (trial.trial_id, trial.params, trial.values, trial.end and (trial.end.kind, trial.end.epoch, trial.end.reason))
        for trial in trials
    ]
