"""Joining a Ray cluster, or starting one."""

import json
import logging
import os
from pathlib import Path
from typing import Any

# Those that Ray would start ahead have another environment than Tune asks for, and are never used.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")

import ray

_STARTUP_LEVEL = logging.ERROR


def connect(num_cpus: int | None = None, code: Path | None = None) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine with `num_cpus` slots, or all cores.

    Args:
        num_cpus: of one that is started.
        code: a folder that every worker is sent, to import from, if it is there; a job of Ray's may bring another.
    """
    local: dict[str, Any] = {"address": "local", "num_cpus": num_cpus, "include_dashboard": False}
    # Without an address Ray joins any cluster that it finds here.
    how: dict[str, Any] = {} if is_shared() else local
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    if code is not None and code.is_dir() and "working_dir" not in job.get("runtime_env", {}):
        how["runtime_env"] = {"working_dir": str(code)}
    ray.init(log_to_driver=False, logging_level=_STARTUP_LEVEL, ignore_reinit_error=True, **how)


def is_shared() -> bool:
    """Whether others may use the cluster, which is not one of our own."""
    return bool(os.environ.get("RAY_ADDRESS"))


def disconnect() -> None:
    """Leave the cluster; one that `connect` started ends."""
    ray.shutdown()
