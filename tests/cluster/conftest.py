"""A head of Ray's that wants a token, and the commands as one types them on a laptop."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

HPO = [sys.executable, "-c", "from hpo.cli import app; app()"]
START_S = 120.0
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


@dataclass(frozen=True)
class Head:
    """Where it listens, what it wants to hear, and where sweeps lie."""

    address: str
    token: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Of a client that may come in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "HPO_ADDRESS": self.address}


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    head = Head(f"http://127.0.0.1:{_free_port()}", secrets.token_hex(32), tmp_path_factory.mktemp("home"))
    scratch = tempfile.mkdtemp(prefix="hpo")  # the paths of Ray's sockets must be short
    own = {
        "HPO_HOME": str(head.home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    options = {
        "port": 0,
        "num-cpus": 2,
        "include-dashboard": "true",
        "dashboard-host": "127.0.0.1",
        "dashboard-port": head.address.rpartition(":")[2],
        "dashboard-agent-listen-port": 0,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "object-store-memory": 100_000_000,
        "temp-dir": scratch,
    }
    command = ["ray", "start", "--head", "--block", *(f"--{name}={value}" for name, value in options.items())]
    with (Path(scratch) / "head.log").open("w") as log:
        process = subprocess.Popen(
            command, env=_environment(head.environment | own), stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(head.address)
        yield head
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(scratch, ignore_errors=True)


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
        known = _environment(head.environment if environment is None else environment)
        return subprocess.run([*HPO, *arguments], cwd=folder, env=known, capture_output=True, text=True, check=False)

    return run


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_AUTH", "RAY_ADDRESS"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **own}


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(address: str) -> None:
    patience = time.monotonic() + START_S
    while time.monotonic() < patience:
        with suppress(URLError):
            with suppress(HTTPError):  # it is there, and wants a token
                urllib.request.urlopen(f"{address}/api/version", timeout=5)
            return
        time.sleep(0.2)
    raise TimeoutError(address)
