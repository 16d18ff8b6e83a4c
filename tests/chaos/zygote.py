"""Forks drivers out of a process that has everything imported, for a sweep to be killed in seconds, not in tens.

Reads orders as JSON lines: `{"run": FILE}` and `{"resume": FOLDER}` are answered by a process id, `{"ask": PID}` by its
exit code, or null while it runs.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import mlflow
import ray.tune

import hpo.execution.ray
from hpo.paths import SweepPaths
from hpo.run import resume_sweep, run_sweep, start_local, start_ray
from hpo.sweep import load_sweep
from hpo.tracking.tracker import SweepStatus

__all__ = ["hpo", "mlflow", "ray"]


def main() -> None:
    """Until there are no orders."""
    for line in sys.stdin:
        order = json.loads(line)
        answer = _ask(order["ask"]) if "ask" in order else _fork(order)
        print(json.dumps(answer), flush=True)


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid > 0:
        return pid
    code = 1
    try:
        os.setsid()
        os.environ.update(order["environment"])
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        start_executor = start_ray if order["is_on_ray"] else start_local
        done = (
            run_sweep(load_sweep(Path(order["run"])), start_executor=start_executor)
            if "run" in order
            else resume_sweep(SweepPaths(Path(order["resume"])), start_executor=start_executor)
        )
        code = 0 if done.status is SweepStatus.FINISHED else 130
    except BaseException:  # noqa: BLE001 - whatever it is, the log tells
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _ask(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    main()
