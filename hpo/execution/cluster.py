"""Joining a Ray cluster, or starting one."""

import logging
import os
from typing import Any

# Those that Ray would start ahead have another environment than Tune asks for, and are never used.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")

import ray

_STARTUP_LEVEL = logging.ERROR


def connect(num_cpus: int | None = None) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine with `num_cpus` slots, or all cores."""
    local: dict[str, Any] = {"address": "local", "num_cpus": num_cpus, "include_dashboard": False}
    how = {} if is_shared() else local  # without an address Ray joins any cluster it finds here
    ray.init(log_to_driver=False, logging_level=_STARTUP_LEVEL, ignore_reinit_error=True, **how)


def is_shared() -> bool:
    """Whether others may use the cluster, which is not one of our own."""
    return bool(os.environ.get("RAY_ADDRESS"))


def disconnect() -> None:
    """Leave the cluster; one that `connect` started ends."""
    ray.shutdown()
