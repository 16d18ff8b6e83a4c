"""Sweeps over training of the user's own, from the command line, in processes of their own and through Ray."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpo.paths import SweepPaths
from hpo.records import EndKind, TrialRecord
from hpo.search.reading import read_trials
from hpo.sweep import load_any
from tests.programs.test_function import FILE as FUNCTION
from tests.programs.test_program import FILE as COMMAND
from tests.programs.test_program import LOG

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
HPO = [sys.executable, "-c", "from hpo.cli import app; app()"]
PATIENCE_S = 300.0
FIT = """
import pathlib, time
here = pathlib.Path(__file__).parent

def fit(trial):
    for epoch in trial.epochs():
        (here / f"{trial.trial_id}.begun").touch()
        while trial.trial_id in (2, 8) and not (here / f"{trial.trial_id}.go").exists():
            time.sleep(0.1)
        trial.report(epoch, score=trial.params["lr"], state={})
"""
TRAIN = """
trial_id = int(os.environ["HPO_TRIAL_ID"])
for epoch in range(begun_at + 1, to_epoch + 1):
    pathlib.Path(f"{trial_id}.begun").touch()
    while trial_id in (2, 8) and not os.path.exists(f"{trial_id}.go"):
        time.sleep(0.1)
    log("score", float(sys.argv[1]), epoch)
pathlib.Path(sys.argv[-1], "state").touch()
"""


@pytest.fixture(params=["function", "command"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "fitting.py").write_text(FIT)
    (tmp_path / "train.py").write_text(LOG + TRAIN)
    text = FUNCTION.format(module="fitting") if request.param == "function" else COMMAND
    (tmp_path / "own.yaml").write_text(text.replace("epochs: 9", "epochs: 3").replace("trials: 9", "trials: 6"))
    return tmp_path


@contextmanager
def begun(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*HPO, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def hpo(folder: Path, *words: str) -> str:
    with begun(folder, *words) as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return said


def until_begun(folder: Path, trial_id: int) -> None:
    """Until a trial trains, anew; one that is to hold its sweep up then waits for a file."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not (folder / f"{trial_id}.begun").exists():
        assert time.monotonic() < give_up_s
        time.sleep(0.1)
    (folder / f"{trial_id}.begun").unlink()


def trials_in(folder: Path) -> list[TrialRecord]:
    paths = SweepPaths(folder / "runs" / "own-1")
    return read_trials(paths.study, load_any(paths.resolved).space)


def test_a_sweep_is_paused_resumed_extended_and_cancelled(folder: Path) -> None:
    with begun(folder, "run", "own.yaml", "--id", "own-1") as running:
        until_begun(folder, 2)
        assert "own-1 is paused" in hpo(folder, "pause", "own-1")
        assert running.wait(PATIENCE_S) == 130
    with begun(folder, "resume", "own-1") as running:
        until_begun(folder, 2)
        assert "own-1 has more budget now" in hpo(folder, "extend", "own-1", "--trials", "+1")
        (folder / "2.go").touch()
        assert running.wait(PATIENCE_S) == 0
    through = trials_in(folder)
    with begun(folder, "extend", "own-1", "--trials", "+100") as running:
        until_begun(folder, 8)
        hpo(folder, "cancel", "own-1")
        assert running.wait(PATIENCE_S) == 130
    cancelled = trials_in(folder)

    assert {trial.end.kind for trial in through if trial.end} == {EndKind.COMPLETE, EndKind.STOPPED}
    assert [list(trial.values) in ([1], [1, 2, 3]) for trial in through] == [True] * 7
    assert 8 < len(cancelled) < 107
    assert all(trial.end is not None for trial in cancelled)
    assert "cancelled" in hpo(folder, "status", "own-1")
