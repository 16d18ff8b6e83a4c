"""Nodes of a Ray cluster: each has processes of its own and, where one may make them, a network of its own."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

from tests.servers import free_port

START_S = 120.0
HEARTBEATS = '{"health_check_initial_delay_ms":0,"health_check_period_ms":1000,"health_check_failure_threshold":6}'
"""Of Ray: a node that is gone is missed in seconds."""
Options = Mapping[str, str | int]


@dataclass(frozen=True)
class Head:
    """Where it listens, what it wants to hear, and where sweeps lie."""

    address: str
    token: str
    home: Path
    gcs: str
    """Where nodes join."""
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """Of a client that may come in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "HPO_ADDRESS": self.address}


@contextmanager
def head_node(home: Path, *, num_cpus: int, ip: str = "127.0.0.1", own: Mapping[str, str]) -> Iterator[Head]:
    """A head that wants a token; `own` is what its environment has besides."""
    token, gcs_port, dashboard_port = secrets.token_hex(32), free_port(), free_port()
    options: Options = {
        "head": "",
        "port": gcs_port,
        "node-ip-address": ip,
        "include-dashboard": "true",
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard_port,
        "system-config": HEARTBEATS,
    }
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "HPO_HOME": str(home), **own}
    with _started(options, num_cpus, environment) as process:
        head = Head(f"http://127.0.0.1:{dashboard_port}", token, home, f"{ip}:{gcs_port}", process)
        _wait_for(head.address)
        yield head


@contextmanager
def worker_node(
    head: Head, *, num_cpus: int, ip: str = "127.0.0.1", inside: tuple[str, ...] = (), own: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """One more node; `inside` is the command that runs others in its network."""
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": head.token, **own}
    with _started({"address": head.gcs, "node-ip-address": ip}, num_cpus, environment, inside) as process:
        yield process


def kill(node: subprocess.Popen[bytes]) -> None:
    """With all its processes, as a power cut does."""
    for process_id in [node.pid, *descendants(node.pid)]:
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    node.wait()


def num_trained_on(node: subprocess.Popen[bytes]) -> int:
    """Workers there that train, or wait to; Ray has named them after what they run."""
    return sum("Trainable" in _command(process_id) for process_id in descendants(node.pid))


def descendants(process_id: int) -> list[int]:
    """Its children, and theirs."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(process_id, [])
    for each in found:
        found += children.get(each, [])
    return found


def plain_environment(own: Mapping[str, str]) -> dict[str, str]:
    """This one, without what leads to other clusters."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_AUTH", "RAY_ADDRESS"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **own}


@contextmanager
def _started(
    options: Options, num_cpus: int, own: Mapping[str, str], inside: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    scratch = tempfile.mkdtemp(prefix="hpo")  # the paths of Ray's sockets must be short
    common: Options = {
        "num-cpus": num_cpus,
        "dashboard-agent-listen-port": 0,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "object-store-memory": 100_000_000,
        "temp-dir": scratch,
    }
    told = [f"--{name}={value}" if value != "" else f"--{name}" for name, value in {**options, **common}.items()]
    environment = plain_environment({"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **own})
    with (Path(scratch) / "node.log").open("w") as log:
        command = [*inside, "ray", "start", "--block", *told]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        left = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        for process_id in [process.pid, *left]:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        shutil.rmtree(scratch, ignore_errors=True)


def _command(process_id: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process_id}/cmdline").read_text()
    return ""


def _wait_for(address: str) -> None:
    patience = time.monotonic() + START_S
    while time.monotonic() < patience:
        with suppress(URLError):
            with suppress(HTTPError):  # it is there, and wants a token
                urllib.request.urlopen(f"{address}/api/version", timeout=5)
            return
        time.sleep(0.2)
    raise TimeoutError(address)
