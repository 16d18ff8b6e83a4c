"""Sweeps over a network that the user brings, in a module beside the sweep file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NETS = """
from torch import nn


def make(input_shape, num_classes, width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, num_classes))
"""
SWEEP = """
data: {kind: digits}
model: nets:make
epochs: 1
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-3, 1)
scheduler: {kind: none}
budget: {trials: 3}
resources: {max_concurrent: 1}
tracking: none
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that is not the one in which sweep and network lie."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "nets.py").write_text(NETS)
    (tmp_path / "mine" / "own.yaml").write_text(SWEEP)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def hpo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("hpo")), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_network_beside_the_sweep_file_is_found(elsewhere: Path) -> None:
    done = hpo(elsewhere, "check", "../mine/own.yaml")

    assert done.returncode == 0, done.stderr


def test_a_network_in_the_current_folder_is_found(elsewhere: Path) -> None:
    (elsewhere.parent / "mine" / "nets.py").rename(elsewhere / "nets.py")

    done = hpo(elsewhere, "check", "../mine/own.yaml")

    assert done.returncode == 0, done.stderr


def test_a_network_that_is_nowhere_is_told_before_anything_starts(elsewhere: Path) -> None:
    done = hpo(elsewhere, "run", "../mine/own.yaml", "-s", "model=nowhere:make")

    assert done.returncode == 1
    assert "nowhere:make must name a function that Python can import" in " ".join(done.stderr.split())
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_ray_workers_find_the_network_too(elsewhere: Path) -> None:
    done = hpo(elsewhere, "run", "../mine/own.yaml", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ends"] == {"complete": 3}
