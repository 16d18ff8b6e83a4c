"""The database of one study: SQLite, with one owner."""

import fcntl
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TextIO

from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.exc import SQLAlchemyError

from hpo.config import JsonTree
from hpo.errors import StudyError
from hpo.paths import written_beside

STUDY_NAME = "hpo"
"""Of the one study in the database, for those who read it with plain Optuna."""
LOGBOOK = "logbook"
"""What changes of a study, beside its trials: the rest says what it is for."""
BUSY_TIMEOUT_S = 20.0
NUM_ATTEMPTS, ATTEMPT_S = 5, 0.02
"""At the lock, before it is taken for another driver's."""


@dataclass(frozen=True)
class Owner:
    """The driver that has a study."""

    process_id: int
    host: str

    def __str__(self) -> str:
        """As the lock names it."""
        return f"process {self.process_id} on {self.host}"

    @classmethod
    def this(cls) -> Self:
        """The process that asks."""
        return cls(os.getpid(), socket.gethostname())

    @classmethod
    def named(cls, text: str) -> Self:
        """From how a lock names it.

        Raises:
            StudyError: if it does not.
        """
        written = re.fullmatch(r"process (\d+) on (\S+)", text)
        if written is None:
            raise StudyError(
                f"a lock must name the driver that holds it, but {text[:80]!r} holds it. Stop that process."
            )
        return cls(int(written[1]), written[2])


def owner_of(lock: Path) -> Owner | None:
    """Who holds `lock`; none if nobody does."""
    if not lock.exists():
        return None
    with lock.open("r+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # those who look do not take each other for drivers
        except BlockingIOError:
            try:
                return Owner.named(file.read())
            except StudyError as error:
                raise StudyError(f"{lock}: {error}") from None
    return None


@contextmanager
def owned(lock: Path) -> Iterator[None]:
    """Hold `lock`; the system releases it when this process dies.

    Raises:
        StudyError: if another driver holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as file:
        if not _is_locked(file):
            file.seek(0)
            raise StudyError(
                f"{lock.parent}: a study has one driver at a time, but {file.read() or 'another process'} owns it. "
                "Wait until it ends, or stop it."
            )
        file.truncate(0)
        file.write(str(Owner.this()))
        file.flush()
        yield


def _is_locked(file: TextIO) -> bool:
    """Lock it, and say whether that worked: whoever only looks has the lock for a moment too."""
    for _ in range(NUM_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(ATTEMPT_S)
        else:
            return True
    return False


@contextmanager
def opened(path: Path, directions: Sequence[StudyDirection], origin: JsonTree) -> Iterator[RDBStorage]:
    """The database at `path`, made if it is not there.

    Args:
        path: the database file.
        directions: of the objectives.
        origin: what the study is for; it is kept with the study and must be the same when it is opened again.

    Raises:
        StudyError: if the file is no study of ours, or one with another origin.
    """
    if not path.exists():
        with written_beside(path) as beside, _connected(beside) as storage:
            study_id = storage.create_new_study(list(directions), STUDY_NAME)
            for key, value in origin.items():
                storage.set_study_user_attr(study_id, key, value)
    _check_holds_study(path)
    with _connected(path) as storage:
        kept = storage.get_study_user_attrs(storage.get_study_id_from_name(STUDY_NAME))
        check_same(str(path), {key: value for key, value in kept.items() if key != LOGBOOK}, origin)
        yield storage


@contextmanager
def read_only(path: Path) -> Iterator[RDBStorage]:
    """The database at `path`, for looking: its driver may be writing meanwhile.

    Raises:
        StudyError: if the file is no study of ours.
    """
    _check_holds_study(path)
    try:
        with _connected(path) as storage:
            yield storage
    except (SQLAlchemyError, OptunaError, LookupError, TypeError, ValueError) as error:
        why = str(error.__cause__ or error).splitlines()[0]
        raise StudyError(f"{path}: must be readable by Optuna, but is not ({why}). Restore it from a copy.") from error


def check_whole(path: Path) -> None:
    """Let SQLite look through the database at `path`; its driver may be writing meanwhile.

    Raises:
        StudyError: if the file is no study of ours, or damaged.
    """
    _check_holds_study(path)
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise StudyError(f"{path}: must be whole, but SQLite finds it damaged ({found}). Restore it from a copy.")


@contextmanager
def _connected(path: Path) -> Iterator[RDBStorage]:
    # The URL only names the dialect: Optuna and SQLAlchemy would read a `{` or a `?` of the path as their own.
    try:
        storage = RDBStorage("sqlite:///study.db", engine_kwargs={"creator": partial(_connect, path)})
    except RuntimeError as error:  # written by another version of Optuna; its message tells the remedy
        raise StudyError(f"{path}: must fit the installed Optuna, but does not. {error}") from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _connect(path: Path) -> sqlite3.Connection:
    """With a write-ahead log a commit costs one write and no wait for the disk; the end of a process loses nothing."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _check_holds_study(path: Path) -> None:
    """Before Optuna touches the file: it would add its tables to any database."""
    if not path.is_file():
        raise StudyError(f"{path}: must be the database of a study, but is no file. Has the sweep begun?")
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            names = [name for (name,) in connection.execute("SELECT study_name FROM studies")]
            connection.execute("SELECT number FROM trials LIMIT 1")
    except sqlite3.DatabaseError as error:
        is_busy = error.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED")
        remedy = "Another process holds it: wait until it ends, or stop it." if is_busy else "Name another file."
        raise StudyError(
            f"{path}: must be the database of a study, but cannot be read as one ({error}). {remedy}"
        ) from error
    if names != [STUDY_NAME]:
        held = ", ".join(names) or "none"
        raise StudyError(f"{path}: must hold one study, {STUDY_NAME}, but holds {held}. Name another file.")


def check_same(where: str, kept: object, now: object) -> None:
    """Descend to the first difference, so that the message names it and no more."""
    if kept == now:
        return
    if isinstance(kept, dict) and isinstance(now, dict):
        for key in sorted(kept.keys() | now.keys()):
            check_same(f"{where}: {key}", kept.get(key), now.get(key))
    raise StudyError(
        f"{where}: must be what the study was made for, {_shown(kept)}, but is now {_shown(now)}. "
        "Set it back, or start another sweep."
    )


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return ", ".join(f"{key}={entry}" for key, entry in value.items())
        case _:
            return str(value)
