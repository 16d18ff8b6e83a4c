"""A sandbox with a finished sweep in it, and what every hostile input must come to."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from typer.testing import CliRunner

from hpo.cli import app

SECTIONS = {
    "name": "small",
    "data": "{kind: digits}",
    "model": "{kind: mlp, hidden: [8]}",
    "epochs": "2",
    "metric": "{name: val_accuracy, goal: maximize}",
    "space": "{optimizer.lr: 'loguniform(1e-3, 1)'}",
    "sampler": "{kind: random}",
    "scheduler": "{kind: none}",
    "budget": "{trials: 2}",
    "tracking": "none",
}


def sweep_file(**sections: str) -> str:
    """A sweep file, good but for `sections`."""
    return "".join(f"{name}: {value}\n" for name, value in (SECTIONS | sections).items())


@dataclass(frozen=True)
class Sandbox:
    """A folder to work in, inside one that must stay as it is."""

    here: Path
    sweep_id: str

    @property
    def canary(self) -> Path:
        """What a payload makes when it runs."""
        return self.here.parent / "canary"

    @property
    def sweep(self) -> Path:
        """The folder of the finished sweep."""
        return self.here / "runs" / self.sweep_id

    def check_refuses(self, command: str, *said: str) -> None:
        """`command` ends with an error that says all of `said`; nothing runs, nothing is written, nothing is lost."""
        before = _contents(self.here.parent)

        done = CliRunner().invoke(app, command.split(), catch_exceptions=False)

        told = " ".join(done.stderr.split())
        assert done.exit_code in (1, 2), done.output
        assert "Traceback" not in told
        assert [part for part in said if part not in told] == [], told
        assert not self.canary.exists()
        assert _contents(self.here.parent) == before


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished sweep and with examples to predict."""
    from hpo.run import run_sweep, start_local
    from hpo.sweep import load_sweep
    from hpo.training.data import Digits

    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(sweep_file())
    run_sweep(load_sweep(folder / "small.yaml", [f"storage.checkpoints={folder / 'runs'}"]), start_executor=start_local)
    test = Digits().load(0).test
    assert test is not None
    np.savez(folder / "examples.npz", x=test.x[:12], y=test.y[:12])
    return folder


@pytest.fixture
def sandbox(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The finished sweep's folder, to be spoiled; Ray must not be started in it."""
    here = tmp_path / "outside" / "here"
    shutil.copytree(finished, here)
    monkeypatch.chdir(here)
    monkeypatch.setattr("hpo.execution.cluster.connect", _refuse_to_connect)
    [sweep] = (here / "runs").iterdir()
    with closing(sqlite3.connect(sweep / "study.db")) as study, study:  # names its states by their whole paths
        moved = (str(finished), str(here))
        study.execute("UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?)", moved)
    return Sandbox(here, sweep.name)


def _refuse_to_connect() -> NoReturn:
    raise AssertionError("Ray was started")


def _contents(folder: Path) -> dict[Path, str]:
    """Every file with its content, every link with its target; but for what SQLite keeps of a database in use."""
    return {path: _content(path) for path in sorted(folder.rglob("*")) if not path.name.endswith(("-wal", "-shm"))}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"to {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
