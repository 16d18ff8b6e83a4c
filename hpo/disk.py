"""Disks that are full: how that is known, and how it is told."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.errors import DiskFullError
from hpo.paths import SweepPaths
from hpo.sizes import size_text

FULL = (errno.ENOSPC, errno.EDQUOT)
SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""The latter where there is no room for what its processes share beside a database."""


def is_for_want_of_room(error: BaseException | None) -> bool:
    """Whether a full disk is behind `error`, whoever found out: the system, SQLite, or a library in the system's words.

    None for those that know nothing more: SQLAlchemy and Optuna keep the reason as a cause.
    """
    if error is None:
        return False
    is_told = isinstance(error, OSError) and error.errno in FULL
    is_sqlite = getattr(error, "sqlite_errorcode", None) in SQLITE_FULL
    is_said = any(os.strerror(number) in str(error) for number in FULL)
    return is_told or is_sqlite or is_said or is_for_want_of_room(error.__cause__ or error.__context__)


def free_bytes(folder: Path) -> int:
    """What may still be written there, be the folder made or not."""
    return shutil.disk_usage(_existing(folder)).free


@contextmanager
def want_of_room_told(paths: SweepPaths) -> Iterator[None]:
    """Let whatever a full disk leads to say that the sweep can go on, and what must be done for it.

    Raises:
        DiskFullError: in place of an error that a full disk is behind.
    """
    try:
        yield
    except Exception as error:
        if not is_for_want_of_room(error):
            raise
        raise DiskFullError(_told(paths)) from error


def _told(paths: SweepPaths) -> str:
    files = [file.stat().st_size for file in paths.checkpoints.glob("*/*") if not file.name.startswith(".")]
    sizes = f"; trials' states there: {len(files)}, of up to {size_text(max(files))}" if files else ""
    return (
        f"{_file_system(paths.root)}: there must be room for what a sweep writes, but the file system is full "
        f"({size_text(free_bytes(paths.root))} free{sizes}). {paths.sweep_id} is paused, and nothing is lost: make "
        f"room, be it with `hpo gc {paths.sweep_id} --keep SIZE`, and go on with: hpo resume {paths.sweep_id}"
    )


def _file_system(folder: Path) -> Path:
    return next(above for above in (folder, *folder.absolute().parents) if above.is_mount())


def _existing(folder: Path) -> Path:
    return next(above for above in (folder.absolute(), *folder.absolute().parents) if above.exists())
