"""The database of one study, wherever it is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo.config import JsonTree
from hpo.paths import SweepPaths
from hpo.search import storage
from hpo.search.places import Place, Shared
from hpo.search.rows import Row, Rows


class Database(Protocol):
    """What a study is written to and read from; see `Rows`."""

    def begin(self, study_id: int, trials: Sequence[FrozenTrial], number: int) -> list[int]: ...
    def write(self, rows: Sequence[Row]) -> None: ...
    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]: ...
    def get_all_trials(self, study_id: int) -> list[FrozenTrial]: ...


@contextmanager
def owned(place: Place, directions: Sequence[StudyDirection], origin: JsonTree) -> Iterator[tuple[Database, int]]:
    """The database, and its own id of the study, which is made if it is not there; for this driver alone.

    Args:
        place: of the study.
        directions: of the objectives.
        origin: what the study is for; it is kept with the study and must be the same when it is opened again.

    Raises:
        StudyError: if the place holds something else, or the study has another origin or driver.
    """
    match place:
        case Path():
            with storage.owned(SweepPaths(place.parent).lock), storage.opened(place, directions, origin) as database:
                yield Rows(database), database.get_study_id_from_name(storage.STUDY_NAME)
        case Shared():
            from hpo.search import postgres  # noqa: PLC0415 - a study in a file needs no SQLAlchemy until it is opened

            with postgres.opened(place, directions, origin) as found:
                yield found


@contextmanager
def read_only(place: Place) -> Iterator[tuple[Database, int]]:
    """The same for looking: its driver may be writing meanwhile.

    Raises:
        StudyError: if there is no study of ours.
    """
    match place:
        case Path():
            with storage.read_only(place) as database:
                yield Rows(database), database.get_study_id_from_name(storage.STUDY_NAME)
        case Shared():
            from hpo.search import postgres  # noqa: PLC0415 - see above

            with postgres.read_only(place) as found:
                yield found


def is_begun(place: Place) -> bool:
    """Whether there is a study.

    Raises:
        StudyError: if the server does not answer.
    """
    match place:
        case Path():
            return place.exists()
        case Shared():
            from hpo.search import postgres  # noqa: PLC0415 - see above

            return postgres.holds(place)


def owner_of(place: Place) -> storage.Owner | None:
    """Who drives the study; none if nobody does.

    Raises:
        StudyError: if the server does not answer.
    """
    match place:
        case Path():
            return storage.owner_of(SweepPaths(place.parent).lock)
        case Shared():
            from hpo.search import postgres  # noqa: PLC0415 - see above

            return postgres.owner_of(place)


def check_answers(place: Place) -> None:
    """See that the server answers, where there is one.

    Raises:
        StudyError: if it does not.
    """
    if isinstance(place, Shared):
        from hpo.search import postgres  # noqa: PLC0415 - see above

        postgres.holds(place)


def check_whole(place: Place) -> bool:
    """Have the database looked through, as far as it can be; returned is whether the study was begun.

    Raises:
        StudyError: if the place holds something else, or is damaged.
    """
    match place:
        case Path():
            if is_there := place.exists():
                storage.check_whole(place)
            return is_there
        case Shared():
            from hpo.search import postgres  # noqa: PLC0415 - see above

            return postgres.holds(place)
