"""The database of many studies: PostgreSQL, where each study has one owner."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import event, text
from sqlalchemy.exc import ArgumentError, ProgrammingError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hpo.config import JsonTree
from hpo.errors import StudyError
from hpo.search.patient import AwayError, OwnedError, Patient
from hpo.search.places import Shared
from hpo.search.rows import Rows
from hpo.search.storage import LOGBOOK, Owner, check_same
from hpo.uris import filled_in, masked

DRIVER = "postgresql+psycopg"
"""SQLAlchemy's name for PostgreSQL through psycopg 3."""
SCHEMA = "the tables"
"""What is locked while they are made."""
CONNECTION = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 10,  # seconds, as below: a server that vanished without a word is found out within half a minute
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds, as libpq and the server have them
}
LOOK_S = 5
"""For an answer, if somebody only asks who drives."""
KEEPALIVES = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""The same the other way round: the server lets go of what a vanished driver owned."""

FIND = text("SELECT study_id FROM studies WHERE study_name = :name")
RENAME = text("UPDATE studies SET study_name = :name WHERE study_id = :study_id")
LONGEST_NAME = 63
"""Characters of an application's name that the server keeps."""
LOCK = "SELECT pg_try_advisory_lock(%s)"
OWNER = """
    SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND datname = current_database() AND (classid::bigint << 32) | objid::bigint = %s
"""


@contextmanager
def opened(place: Shared, directions: Sequence[StudyDirection], origin: JsonTree) -> Iterator[tuple[Patient, int]]:
    """The database and its id of the study, made if it is not there; whoever writes holds a lock of the server.

    The lock belongs to the only connection: one that is lost takes the lock with it, and a new one must get it again
    before anything else is written.

    Raises:
        StudyError: if the database does not answer, or the study has another origin or driver.
    """
    where = _shown(place)
    with _told(where):
        url = _url(place)
        _make_tables(url)
        storage = _connected(url, where, owner_of=place.name)
    with _closing(storage):
        with _told(where):
            study_id = _find(storage.engine, place.name)
            if study_id is None:
                study_id = _make(storage, place.name, directions, origin)
            kept = storage.get_study_user_attrs(study_id)
            check_same(where, {key: value for key, value in kept.items() if key != LOGBOOK}, origin)
        yield Patient(Rows(storage), where=where), study_id


@contextmanager
def read_only(place: Shared) -> Iterator[tuple[Patient, int]]:
    """The same for looking: its driver may be writing meanwhile.

    Raises:
        StudyError: if the database does not answer, or does not hold the study.
    """
    where = _shown(place)
    if not holds(place):
        raise StudyError(f"{where}: must hold the study, but does not. Name the database that the sweep was run with.")
    with _told(where):
        storage = _connected(_url(place), where)
    with _closing(storage):
        with _told(where):
            study_id = storage.get_study_id_from_name(place.name)
        yield Patient(Rows(storage), where=where), study_id


def holds(place: Shared) -> bool:
    """Whether the study is there; nothing is made.

    Raises:
        StudyError: if the database does not answer.
    """
    with _told(_shown(place)):
        engine = sqlalchemy.create_engine(_url(place), poolclass=NullPool, connect_args=CONNECTION)
        try:
            return _find(engine, place.name) is not None
        except ProgrammingError:  # not even the tables
            return False


def owner_of(place: Shared) -> Owner | None:
    """Who drives the study; none if nobody does.

    Raises:
        StudyError: if the database does not answer.
    """
    how = {**CONNECTION, "connect_timeout": LOOK_S}
    engine = sqlalchemy.create_engine(_url(place), poolclass=NullPool, connect_args=how)
    with _told(_shown(place)), engine.connect() as connection:
        name = connection.exec_driver_sql(OWNER, (_key(place.name),)).scalar_one_or_none()
        return None if name is None else Owner.named(name)


def _url(place: Shared) -> sqlalchemy.URL:
    try:
        return sqlalchemy.make_url(filled_in(place.url)).set(drivername=DRIVER)
    except (ArgumentError, ValueError) as error:
        raise StudyError(
            f"{masked(place.url)}: must be as postgresql://user@host:5432/database, but is not. Write it so."
        ) from error


def _shown(place: Shared) -> str:
    return f"{masked(place.url)}: study {place.name}"


@contextmanager
def _told(where: str) -> Iterator[None]:
    """What goes wrong before a study is open, in words; it is not tried again."""
    try:
        yield
    except ImportError as error:
        raise StudyError(
            f"{where}: PostgreSQL needs the package psycopg, which is not installed. pip install 'hpo[postgres]'."
        ) from error
    except (AwayError, SQLAlchemyError, StorageInternalError) as error:
        why = str(getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error)
        raise StudyError(
            f"{where}: the database must answer, but does not ({masked(' '.join(why.split()))}). Start it, or mend the "
            "address, the user or the password."
        ) from error


def _connected(url: sqlalchemy.URL, where: str, owner_of: str | None = None) -> RDBStorage:
    """Through one connection at most, which owns the study if `owner_of` names it."""
    storage = _rdb(url, skip_check=True, pool_size=1, max_overflow=0)
    if owner_of is not None:
        storage.engine.dispose()  # what it was made with owns nothing
        event.listen(storage.engine, "connect", partial(_own, _key(owner_of), where))
    event.listen(storage.engine, "handle_error", _as_away)
    return storage


def _rdb(url: sqlalchemy.URL, *, skip_check: bool, **engine_kwargs: Any) -> RDBStorage:
    connect_args = {**CONNECTION, "application_name": str(Owner.this())[:LONGEST_NAME]}
    address = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # Optuna formats it
    return RDBStorage(
        address,
        engine_kwargs={"connect_args": connect_args, **engine_kwargs},
        skip_table_creation=skip_check,
        skip_compatibility_check=skip_check,
    )


def _make_tables(url: sqlalchemy.URL) -> None:
    """Where there are none; drivers that begin at once wait for each other."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=CONNECTION)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key(SCHEMA)})
        try:
            _rdb(url, skip_check=False, poolclass=NullPool)
        except RuntimeError as error:  # written by another version of Optuna; its message tells the remedy
            where = url.render_as_string()
            raise StudyError(f"{where}: must fit the installed Optuna, but does not. {error}") from error


@contextmanager
def _closing(storage: RDBStorage) -> Iterator[None]:
    try:
        yield
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _own(key: int, where: str, connection: Any, _record: object) -> None:
    """Take the lock with a new connection, or refuse the connection."""
    with connection.cursor() as cursor:
        cursor.execute(KEEPALIVES)
        [is_ours] = cursor.execute(LOCK, (key,)).fetchone()
        owner = None if is_ours else cursor.execute(OWNER, (key,)).fetchone()
    connection.commit()
    if not is_ours:
        connection.close()
        raise OwnedError(
            f"{where}: a study has one driver at a time, but {(owner and owner[0]) or 'another process'} owns it. "
            "Wait until it ends, or stop it."
        )


def _as_away(context: sqlalchemy.engine.ExceptionContext) -> None:
    """As an error that Optuna does not know: it would try again by itself, and might create a trial twice."""
    original = context.original_exception
    if context.is_disconnect or isinstance(context.sqlalchemy_exception, sqlalchemy.exc.OperationalError):
        raise AwayError(str(original)) from original


def _find(engine: sqlalchemy.Engine, name: str) -> int | None:
    with engine.connect() as connection:
        return connection.execute(FIND, {"name": name}).scalar_one_or_none()


def _make(storage: RDBStorage, name: str, directions: Sequence[StudyDirection], origin: JsonTree) -> int:
    """Made under another name, and renamed when it is whole."""
    beside = f".{name}"
    with suppress(KeyError):
        storage.delete_study(storage.get_study_id_from_name(beside))
    study_id = storage.create_new_study(list(directions), beside)
    for key, value in origin.items():
        storage.set_study_user_attr(study_id, key, value)
    with storage.engine.begin() as connection:
        connection.execute(RENAME, {"name": name, "study_id": study_id})
    return study_id


def _key(name: str) -> int:
    """For a lock of the server: 64 bits, with a sign."""
    return int.from_bytes(hashlib.sha256(f"hpo: {name}".encode()).digest()[:8], "big", signed=True)
