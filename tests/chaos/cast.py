"""Who is killed: drivers, workers, nodes, servers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from ray.cluster_utils import Cluster

from hpo.tracking import ui

ZYGOTE = Path(__file__).parent / "zygote.py"
TRAINERS = ("ray::SegmentTrainable", "ray::ResourceTrainable")
"""How Ray names workers that train; Tune's wrapper for resources may stand for ours."""
HEARTBEATS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 4}
"""Of Ray: a node that is gone is missed in seconds."""


@dataclass
class Drivers:
    """One process that forks drivers, one at a time."""

    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None
    _pid: int | None = None
    _code: int | None = None

    def start(self, log: Path, *, is_on_ray: bool, **order: str) -> None:
        """`run=FILE` or `resume=FOLDER`."""
        self._code = None
        self._pid = self._order({**order, "log": str(log), "is_on_ray": is_on_ray, "environment": self.environment})

    def exit_code(self) -> int | None:
        """Of the last one; none while it runs."""
        if self._pid is None:
            return 0
        if self._code is None:
            self._code = self._order({"ask": self._pid})
        return self._code

    def kill(self) -> None:
        """As nobody can catch."""
        if self._pid is not None and self.exit_code() is None:
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """The last driver, and whoever forked it."""
        self.kill()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _order(self, order: dict[str, Any]) -> Any:
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen([sys.executable, str(ZYGOTE)], stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Nodes:
    """A Ray cluster of two nodes with a slot each; the second can be killed, and comes back."""

    def __init__(self) -> None:
        arguments = {"num_cpus": 1, "include_dashboard": False, "_system_config": HEARTBEATS}
        self._cluster = Cluster(initialize_head=True, head_node_args=arguments)
        self._second = self._cluster.add_node(num_cpus=1)

    @property
    def address(self) -> str:
        """For RAY_ADDRESS."""
        return str(self._cluster.address)

    def kill_node(self) -> None:
        """The second one, with all its processes."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(num_cpus=1)

    def kill_worker(self, random: Random) -> None:
        """Any that trains, or waits to."""
        raylets = {process.process.pid for node in self._nodes() for process in node.all_processes["raylet"]}
        workers = list(_workers(raylets))
        if workers:
            os.kill(random.choice(workers), signal.SIGKILL)

    def close(self) -> None:
        """Both nodes."""
        self._cluster.shutdown()

    def _nodes(self) -> list[Any]:
        return [self._cluster.head_node, *self._cluster.worker_nodes]


class Server:
    """An MLflow server that is killed as a machine is."""

    def __init__(self, store: str, port: int) -> None:
        self.uri = ui.url(port)
        self._store = store
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Comes up in its own time."""
        self._process = subprocess.Popen(
            ui.command(self._port), env=ui.environment(self._store), stderr=subprocess.DEVNULL, start_new_session=True
        )

    def kill(self) -> None:
        """With all its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Killed, and started again."""
        self.kill()
        self.start()


def wait_until(happened: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it has happened in time."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _workers(raylets: set[int]) -> Iterator[int]:
    """Children of these, which Ray has named after what they run."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            _, _, stat = (command.parent / "stat").read_text().rpartition(")")
            if command.read_text().startswith(TRAINERS) and int(stat.split()[1]) in raylets:
                yield int(command.parent.name)
