"""A study's database that may be away for a while."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, final

from optuna.trial import FrozenTrial

from hpo.errors import StudyError
from hpo.search.rows import Row, Rows
from hpo.uris import masked

PATIENCE_S = 60.0
"""Without an answer, after which the sweep pauses."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Between two attempts; each is twice as long as the one before."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class AwayError(Exception):
    """A database that does not answer; whether it did what it was asked for is not known."""


class OwnedError(StudyError):
    """Another driver owns the study."""


@final
class Patient:
    """Asks again until there is an answer, so that a server may restart in the middle of a sweep.

    An answer may be lost when the question was not: whatever is asked again does nothing if it was done before.
    """

    def __init__(self, rows: Rows, *, where: str, patience_s: float | None = None) -> None:
        """Wrap the rows of one study.

        Args:
            rows: raise `AwayError` or `OwnedError` where to ask again may help.
            where: they are, for messages.
            patience_s: for one question; `PATIENCE_S` if not given.
        """
        self._rows = rows
        self._where = where
        self._patience_s = PATIENCE_S if patience_s is None else patience_s

    def begin(self, study_id: int, trials: Sequence[FrozenTrial], number: int) -> list[int]:
        begin = partial(self._rows.begin, study_id, trials, number)
        return self._ask(begin, again=lambda: self._rows.find(study_id, number) or begin())

    def write(self, rows: Sequence[Row]) -> None:
        self._ask(partial(self._rows.write, rows))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._ask(partial(self._rows.get_study_user_attrs, study_id))

    def get_all_trials(self, study_id: int) -> list[FrozenTrial]:
        return self._ask(partial(self._rows.get_all_trials, study_id))

    def _ask(self, question: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        asked_s = time.monotonic()
        for pause_s in _pauses():
            try:
                answer = question()
            except (AwayError, OwnedError) as error:
                if time.monotonic() - asked_s + pause_s > self._patience_s:
                    raise self._paused(error) from error
                if question is not again:
                    _log.warning(
                        "%s: %s. It is asked again for up to %g s.", self._where, _line(error), self._patience_s
                    )
                question = again or question
            else:
                return answer
            time.sleep(pause_s)
        raise AssertionError("pauses never end")

    def _paused(self, error: Exception) -> StudyError:
        return StudyError(
            f"{self._where}: the database must answer within {self._patience_s:g} s, but did not ({_line(error)}). "
            "The sweep has paused with everything saved: start the database, and `hpo resume` the sweep."
        )


def _pauses() -> Iterator[float]:
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _line(error: Exception) -> str:
    return masked(" ".join(str(error).split())).rstrip(".")
