"""The file of an outbox: lines on their way, appended at the end and taken from the front."""

import errno
import fcntl
import os
import threading
from pathlib import Path

from hpo.errors import OutboxOwnedError
from hpo.paths import written_beside

HEAD_BYTES = 1 << 18
"""Taken from the front at once: about a thousand reports."""
SPENT_BYTES = 1 << 20
"""Of lines that are done with; beyond, the file is written anew without them."""
_HEADER = '{{"done": {:20d}}}\n'
_START = len(_HEADER.format(0))


class Spool:
    """A file that one process holds: one of its threads appends, another takes from the front.

    The first line says up to where the lines are done with. It is written over in place, by a single write of thirty
    bytes: whenever the process is killed, either position stands there, and at worst the last lines are taken twice.
    What is written outlives the process, not the machine: nothing waits for the disk.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """See `open_spool`."""
        self._path = path
        self._file = descriptor
        self._position = _cut(descriptor)
        self._swap = threading.Lock()

    def append(self, line: bytes) -> None:
        r"""Add a line, which ends with \n.

        Raises:
            OSError: if there is no room for it; then nothing of it is in the file.
        """
        with self._swap:
            size = _size(self._file)
            num_written = os.pwrite(self._file, line, size)
            if num_written < len(line):
                os.ftruncate(self._file, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def head(self) -> bytes:
        """The first lines that are not done with, whole; empty when there are none."""
        size = HEAD_BYTES
        while True:
            found = os.pread(self._file, size, self._position)
            end = found.rfind(b"\n") + 1
            if end or len(found) < size:
                return found[:end]
            size *= 2  # a line longer than all that

    def advance(self, num_bytes: int) -> None:
        """The first `num_bytes` of what `head` returned are done with."""
        self._position += num_bytes
        _write_position(self._file, self._position)
        if self._position > SPENT_BYTES:
            self._compact()

    def num_bytes(self) -> int:
        """Of the lines that are not done with."""
        with self._swap:
            return _size(self._file) - self._position

    def close(self) -> None:
        """Let another process have the file; with nothing left in it, it goes."""
        if not self.num_bytes():
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _compact(self) -> None:
        """Put a file in the place of this one that holds what waits, and is held like it."""
        with self._swap, written_beside(self._path) as beside:
            tail = os.pread(self._file, _size(self._file) - self._position, self._position)
            beside.write_bytes(_HEADER.format(_START).encode() + tail)
            anew = _locked(beside)
            os.close(self._file)
            self._file, self._position = anew, _START


def open_spool(path: Path) -> Spool:
    """The file at `path`, made if it is not there, and held until it is closed or this process ends.

    What an earlier process has left in it waits; half a line at its end, of one that was killed, is dropped.

    Raises:
        OutboxOwnedError: if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = _locked(path)
        if _is_at(path, descriptor):
            return Spool(path, descriptor)
        os.close(descriptor)  # its last owner has removed or replaced it since


def num_waiting(path: Path) -> int:
    """Lines that wait in the file at `path`, whoever holds it; none where there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        position = _read_position(descriptor)
        return os.pread(descriptor, _size(descriptor) - position, position).count(b"\n")
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutboxOwnedError(
            f"{path}: one process at a time writes to MLflow what waits here, and another is at it: "
            "the sweep's driver, or `hpo doctor`. Wait until it ends."
        ) from None
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _cut(descriptor: int) -> int:
    """Drop what a killed process has left half written. Returns where the lines begin that are not done with."""
    if _size(descriptor) < _START:
        os.ftruncate(descriptor, 0)
        _write_position(descriptor, _START)
    position = _read_position(descriptor)
    tail = os.pread(descriptor, _size(descriptor) - position, position)
    os.ftruncate(descriptor, position + tail.rfind(b"\n") + 1)
    return position


def _read_position(descriptor: int) -> int:
    """As the first line says; where it is damaged, every line waits."""
    written = os.pread(descriptor, _START, 0).decode(errors="replace").rstrip("}\n").rpartition(" ")[2]
    position = int(written) if written.isdecimal() else _START
    return min(max(position, _START), _size(descriptor))


def _write_position(descriptor: int, position: int) -> None:
    os.pwrite(descriptor, _HEADER.format(position).encode(), 0)


def _size(descriptor: int) -> int:
    return os.fstat(descriptor).st_size
