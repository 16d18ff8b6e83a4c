"""A process between a worker and a program: it ends the program, and what this has started, when the worker is gone.

Run as a script, by Python without anything else: `guard.py GRACE_S WORD...`. Its standard input is a socket: on its
closing the program is asked to end, and killed `GRACE_S` later; back comes the exit code, below 0 for a signal.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2): whoever loses its parent among those that the caller has started becomes the caller's child."""
NOT_FOUND = 127
"""The exit code by which shells say that there is no such program."""


def main(grace_s: float, words: list[str]) -> None:
    """Run the program to its end."""
    if os.fork():
        os._exit(0)  # for the guard must be no child of the worker: Ray kills these when it ends a worker
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with socket.socket(fileno=0) as worker:
        code = _run(worker, grace_s, words)
        with suppress(OSError):  # nobody is there any more
            worker.sendall(str(code).encode())


def _run(worker: socket.socket, grace_s: float, words: list[str]) -> int:
    try:
        program = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"{words[0]}: {error}\n")
        return NOT_FOUND
    threading.Thread(target=_end_when_alone, args=(worker, grace_s, program.pid), daemon=True).start()
    code = program.wait()
    _signal_group(program.pid, signal.SIGKILL)
    while children := _children():
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return code


def _end_when_alone(worker: socket.socket, grace_s: float, group: int) -> None:
    with suppress(OSError):
        worker.recv(1)
    _signal_group(group, signal.SIGTERM)
    time.sleep(grace_s)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


def _children() -> list[int]:
    """Of this process; none where the system does not tell."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended since
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
