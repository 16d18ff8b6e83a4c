"""Programs as processes that never outlive the one that started them."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from hpo.programs import guard

GRACE_S = 3.0
"""Between asking a program to end and killing it."""
PATIENCE_S = 1.5
"""How long it is waited for then: what hangs in the kernel ends later, or never."""
MOST_BYTES = 1 << 20
"""Of a program's output that is kept: of more, the second half."""
NUM_LINES, MOST_CHARACTERS = 20, 1000
"""At the end of its output that tell why it has failed, and how much of each."""

Wait = Callable[[float], int | None]
"""Waits so many seconds for a program; its exit code, below 0 for a signal, or none if it still runs."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """The files to which a program's output is added, after that of its earlier runs."""

    stdout: Path
    stderr: Path
    title: str
    """That begins it, in both."""

    @classmethod
    def begun(cls, folder: Path, title: str) -> Self:
        """With a title in each, in a folder that is made."""
        folder.mkdir(parents=True, exist_ok=True)
        output = cls(stdout=folder / "stdout.log", stderr=folder / "stderr.log", title=title)
        for file in (output.stdout, output.stderr):
            with file.open("a", encoding="utf-8") as lines:
                lines.write(f"{title}\n")
        return output

    def tail(self) -> str:
        """The last lines of its errors."""
        with self.stderr.open("rb") as file:
            file.seek(max(0, self.stderr.stat().st_size - NUM_LINES * MOST_CHARACTERS))
            lines = file.read().decode(errors="replace").rpartition(f"{self.title}\n")[2].splitlines()
        return "\n".join(line[-MOST_CHARACTERS:] for line in lines[-NUM_LINES:])

    def trim(self) -> None:
        """Cut what there is, while there comes more, to what is kept."""
        for file in (self.stdout, self.stderr):
            if file.stat().st_size > MOST_BYTES:
                with file.open("r+b") as lines:  # the program adds at the end, wherever that is
                    lines.seek(-MOST_BYTES // 2, 2)
                    kept = lines.read()
                    lines.truncate(0)
                    lines.seek(0)
                    lines.write(kept)


@contextmanager
def running(words: Sequence[str], folder: Path, environment: Mapping[str, str], output: Output) -> Iterator[Wait]:
    """A program, which is ended with the block at the latest, or with this process, and all that it has started.

    Args:
        words: the program, and its arguments.
        folder: that it runs in.
        environment: all of it.
        output: where it goes.
    """
    ours, theirs = socket.socketpair()
    with ours:
        guarded = [sys.executable, "-I", "-S", guard.__file__, str(GRACE_S), *words]
        with theirs, output.stdout.open("ab") as out, output.stderr.open("ab") as err:
            subprocess.run(
                guarded, stdin=theirs.fileno(), stdout=out, stderr=err, cwd=folder, env=environment, check=True
            )
        try:
            yield partial(_wait, ours)
        finally:
            with suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
                ours.settimeout(GRACE_S + PATIENCE_S)
                ours.recv(64)


def ended_by(code: int) -> str:
    """What an exit code means, in words."""
    if code >= 0:
        return f"exit code {code}"
    names = {each.value: each.name for each in signal.Signals}
    return f"signal {names.get(-code, -code)}"


def _wait(guarding: socket.socket, timeout_s: float) -> int | None:
    guarding.settimeout(timeout_s)
    try:
        said = guarding.recv(64)
    except TimeoutError:
        return None
    if not said:
        raise ChildProcessError("the process that guards a program must outlive it, but was killed.")
    return int(said)
