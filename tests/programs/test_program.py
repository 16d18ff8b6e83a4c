"""Programs of a user's own, as whole sweeps: the driver, the study, the states and the processes are real."""

from collections import Counter
from pathlib import Path

import pytest

from hpo.outcome import SweepResult
from hpo.programs.state import read_state
from hpo.records import EndKind, TrialRecord
from hpo.run import run_sweep, start_local
from hpo.sweep import OwnSweep, load_any

ROOT = Path(__file__).parents[2]
FILE = """
name: own
command: python train.py {lr} {state_in} {state_out}
params: {lr: 0.1, how: well}
epochs: 9
metric: {name: score, goal: maximize}
space: {lr: "uniform(0.1, 0.9)"}
sampler: {kind: random}
scheduler: {kind: asha, min_epochs: 1, eta: 3, controls: 0}
budget: {trials: 9}
tracking: none
resources: {max_concurrent: 1}
"""
LOG = """
import json, math, os, pathlib, sqlite3, sys, time

begun_at, to_epoch = int(os.environ["HPO_FROM_EPOCH"]), int(os.environ["HPO_TO_EPOCH"])
database = sqlite3.connect(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"), timeout=20)

def log(name, value, step):  # as MLflow does, which takes seconds to import
    is_nan, now_ms = math.isnan(value), int(time.time() * 1000)
    row = name, 0 if is_nan else value, now_ms, os.environ["MLFLOW_RUN_ID"], step, is_nan
    with database:
        database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)

"""
SUM = """
lr, state_in, state_out = sys.argv[1:]
total = float(pathlib.Path(state_in, "total").read_text()) if state_in else 0.0
assert bool(state_in) == ("HPO_STATE_IN" in os.environ) == (begun_at > 0)
for epoch in range(begun_at + 1, to_epoch + 1):
    total += float(lr) * epoch
    log("norm", total, epoch)
    log("score", float(lr) + epoch / 100, epoch)
pathlib.Path(state_out, "total").write_text(repr(total))
"""


def load(folder: Path, code: str, *overrides: str) -> OwnSweep:
    (folder / "train.py").write_text(LOG + code)
    file = folder / "own.yaml"
    file.write_text(FILE)
    sweep = load_any(file, [f"storage.checkpoints={folder / 'runs'}", *overrides])
    assert isinstance(sweep, OwnSweep)
    return sweep


def run(sweep: OwnSweep) -> SweepResult:
    return run_sweep(sweep, start_executor=start_local)


def one(folder: Path, code: str, *overrides: str) -> TrialRecord:
    """The only trial of a sweep whose program does this, for two epochs at once."""
    alone = ("budget.trials=1", "epochs=2", "scheduler={kind: none}", "retries.error=0")
    [trial] = run(load(folder, code, *alone, *overrides)).trials
    return trial


def total_of(trial: TrialRecord, folder: Path) -> float:
    assert trial.checkpoint is not None
    state = read_state(trial.checkpoint, folder)
    assert isinstance(state, Path)
    return float((state / "total").read_text())


def test_a_program_goes_on_from_rung_to_rung_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    done = run(load(tmp_path, SUM))

    assert Counter(trial.end.kind for trial in done.trials if trial.end) == {EndKind.STOPPED: 8, EndKind.COMPLETE: 1}
    assert done.best is not None
    lr = done.best.params["lr"]
    assert isinstance(lr, float)
    assert done.best.values == {epoch: lr + epoch / 100 for epoch in range(1, 10)}
    assert total_of(done.best, tmp_path) == pytest.approx(45 * lr)
    assert done.best.kept is not None
    assert done.best.kept.metrics["norm"] == pytest.approx(45 * lr)
