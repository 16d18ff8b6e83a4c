"""A second machine's network, where one may make one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """Two places that reach each other."""

    here: str
    there: str
    """Addresses; the same where there is but one place."""
    inside: tuple[str, ...] = ()
    """The command that runs others there."""


@contextmanager
def network() -> Iterator[Network]:
    """A network namespace, and a wire to it; this machine's own network where that is not allowed."""
    name = f"hpo{os.getpid() % 10_000}"
    own = Network("127.0.0.1", "127.0.0.1")
    try:
        made = _ip("netns", "add", name)
    except FileNotFoundError:
        made = False
    if not made:
        yield own
        return
    try:
        subnet = f"10.77.{os.getpid() % 250}"
        is_wired = all(
            _ip(*command.split())
            for command in (
                f"link add {name} type veth peer name eth0 netns {name}",
                f"addr add {subnet}.1/24 dev {name}",
                f"link set {name} up",
                f"-n {name} addr add {subnet}.2/24 dev eth0",
                f"-n {name} link set eth0 up",
                f"-n {name} link set lo up",
            )
        )
        inside = ("ip", "netns", "exec", name)
        yield Network(f"{subnet}.1", f"{subnet}.2", inside) if is_wired else own
    finally:
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0
