"""A folder with one finished sweep in it, and the commands as one types them there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from hpo.cli import app

Hpo = Callable[..., Result]

SWEEP = """
name: small
data: {kind: digits}
model: {kind: mlp, hidden: [16]}
epochs: 4
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-3, 1)
  initializer.kind: choice(kaiming_uniform, orthogonal)
sampler: {kind: tpe}
scheduler: {kind: asha, min_epochs: 1, eta: 2}
budget: {trials: 8}
tracking: none
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hpo.run import run_sweep, start_local
    from hpo.sweep import load_sweep

    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.yaml").write_text(SWEEP)
    sweep = load_sweep(folder / "small.yaml", [f"storage.checkpoints={folder / 'runs'}"])
    run_sweep(sweep, start_executor=start_local)
    return folder


@pytest.fixture(scope="session")
def sweep_id(folder: Path) -> str:
    [root] = (folder / "runs").iterdir()
    return root.name


@pytest.fixture
def hpo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hpo:
    """`hpo("trials", "small", "--json")`, with training in this process."""
    import hpo.run

    monkeypatch.chdir(folder)
    local = partial(hpo.run.run_sweep, start_executor=hpo.run.start_local)
    monkeypatch.setattr(hpo.run, "run_sweep", local)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Twelve raw digits with labels."""
    from hpo.training.data import Digits

    test = Digits().load(0).test
    assert test is not None
    np.savez(tmp_path / "examples.npz", x=test.x[:12], y=test.y[:12])
    return tmp_path / "examples.npz"
