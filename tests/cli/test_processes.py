"""Commands that start other processes: Ray's, and MLflow's server."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import SWEEP
from tests.servers import free_port

pytestmark = pytest.mark.slow
HPO = [sys.executable, "-c", "from hpo.cli import app; app()"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    (folder / "small.yaml").write_text(SWEEP.replace("tracking: none\n", ""))
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*HPO, "run", "small.yaml", "--json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_run_through_ray_says_only_what_we_say(ran: subprocess.CompletedProcess[str]) -> None:
    result = json.loads(ran.stdout)

    assert ran.returncode == 0, ran.stderr
    assert sum(result["ends"].values()) == 8
    assert result["untracked"] is None
    assert [line for line in ran.stderr.splitlines() if "trials " not in line] == []


def test_ui_shows_the_sweep_until_ctrl_c(folder: Path, ran: subprocess.CompletedProcess[str]) -> None:
    sweep_id = json.loads(ran.stdout)["id"]
    port = free_port()
    command = [*HPO, "ui", sweep_id, "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None

    said = process.stdout.readline() + process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(timeout=60) == 0
    assert said.startswith(f"MLflow shows it at http://127.0.0.1:{port}/#/experiments/")
    assert said.endswith("Ctrl-C ends it.\n")
    with closing(socket.socket()) as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port))
