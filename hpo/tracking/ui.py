"""MLflow's web pages: a server on this machine, and the page of one sweep."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus

from hpo.errors import ResourceError
from hpo.tracking.environment import QUIET, quieten
from hpo.tracking.location import absolute
from hpo.uris import filled_in, masked

HOST = "127.0.0.1"
DEFAULT = "sqlite:///mlflow.db"
"""The store of whoever names none."""


def command(port: int) -> list[str]:
    """What serves MLflow to this machine only; run it with `environment`."""
    server = [sys.executable, "-m", "mlflow", "server"]
    return [*server, "--host", HOST, "--port", str(port), "--workers", "1"]


def environment(uri: str) -> dict[str, str]:
    """This process's, without telemetry, and without eight job processes (1.3 GB) that a sweep has no use for.

    The store is named here, for all users of a machine see the command lines of each other.

    Raises:
        UriError: if the environment lacks a variable that `uri` names.
    """
    defaults = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **QUIET}
    return {**defaults, **os.environ, "MLFLOW_BACKEND_STORE_URI": absolute(filled_in(uri))}


def start(uri: str, port: int, timeout_s: float = 120.0) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers. It is the caller's to terminate.

    Raises:
        ResourceError: if the server ends, or does not answer in time.
    """
    if is_up(url(port)):
        raise ResourceError(f"{url(port)} must be free, but a server answers there. Open it, or choose another port.")
    process = subprocess.Popen(command(port), env=environment(uri), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + timeout_s
    while not is_up(url(port)):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            process.wait()
            raise ResourceError(
                f"MLflow must answer at {url(port)} within {timeout_s:g} s, but it did not (exit code "
                f"{process.returncode}). Its own words are above; is port {port} free, and {masked(uri)} readable?"
            )
        time.sleep(0.2)
    return process


def url(port: int) -> str:
    """Of a server that `command` starts."""
    return f"http://{HOST}:{port}"


def is_up(server: str) -> bool:
    """Whether an MLflow server answers at the URL `server`."""
    try:
        with urllib.request.urlopen(f"{server}/health", timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def url_of_sweep(server: str, experiment: str, sweep_id: str) -> str:
    """The page that lists the trials of a sweep, best first, with their params.

    Raises:
        SweepNotFoundError: if the server knows no such sweep.
    """
    quieten()
    from hpo.tracking.view import share_view  # noqa: PLC0415 - MLflow takes a second to import

    return share_view(server, experiment, sweep_id)
