"""A study's database that may be away for a while."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, final

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import StudyError
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

    def __init__(
        self,
        storage: RDBStorage,
        *,
        where: str,
        num_trials: int = 0,
        patience_s: float | None = None,
    ) -> None:
        """Wrap the storage of one study.

        Args:
            storage: raises `AwayError` or `OwnedError` where to ask again may help.
            where: it is, for messages.
            num_trials: of the study; needed only to create more, which nobody else may.
            patience_s: for one question; `PATIENCE_S` if not given.
        """
        self._storage = storage
        self._where = where
        self._num_trials = num_trials
        self._patience_s = PATIENCE_S if patience_s is None else patience_s

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial) -> int:
        create = partial(self._storage.create_new_trial, study_id, template_trial)
        row = self._ask(create, again=partial(self._find_or, create, study_id))
        self._num_trials += 1
        return row

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._ask(partial(self._storage.set_trial_intermediate_value, trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._ask(partial(self._storage.set_trial_user_attr, trial_id, key, value))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        end = partial(self._storage.set_trial_state_values, trial_id, state, values)
        return self._ask(end, again=partial(_unless_ended, end))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._ask(partial(self._storage.set_study_user_attr, study_id, key, value))

    def get_trial_number_from_id(self, trial_id: int) -> int:
        return self._ask(partial(self._storage.get_trial_number_from_id, trial_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._ask(partial(self._storage.get_study_user_attrs, study_id))

    def get_all_trials(self, study_id: int) -> list[FrozenTrial]:
        return self._ask(partial(self._storage.get_all_trials, study_id))

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

    def _find_or(self, create: Callable[[], int], study_id: int) -> int:
        try:
            return self._storage.get_trial_id_from_study_id_trial_number(study_id, self._num_trials)
        except KeyError:
            return create()

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


def _unless_ended(end: Callable[[], bool]) -> bool:
    with suppress(UpdateFinishedTrialError):
        return end()
    return True


def _line(error: Exception) -> str:
    return masked(" ".join(str(error).split())).rstrip(".")
