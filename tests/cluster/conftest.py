"""A head of Ray's that wants a token, and the commands as one types them on a laptop."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.nodes import Head, head_node, plain_environment

HPO = [sys.executable, "-c", "from hpo.cli import app; app()"]
NETS = """
from torch import nn


def make_model(input_shape: tuple[int, ...], num_classes: int, width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))
"""
SWEEP = """
name: small
data: {kind: digits}
model: my_pkg.nets:make_model
epochs: 2
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: "loguniform(1e-3, 1)"}
scheduler: {kind: none}
sampler: {kind: random}
budget: {trials: 2}
ensemble: none
export: {formats: []}
tracking: none
"""

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with head_node(tmp_path_factory.mktemp("home"), num_cpus=2, own={}) as head:
        yield head


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a sweep of a network of one's own."""
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg/nets.py").write_text(NETS)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/small.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hpo(head: Head, folder: Path) -> Callable[..., Done]:
    """`hpo("ls", "--json")` in that folder; `environment` as that of a client that may come in."""

    def run(*arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        known = plain_environment(head.environment if environment is None else environment)
        return subprocess.run([*HPO, *arguments], cwd=folder, env=known, capture_output=True, text=True, check=False)

    return run
