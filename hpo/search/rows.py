"""What a study writes: rows of Optuna's tables, in one transaction where they belong together."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, final

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

Row = tuple[str, Mapping[str, Any]]
"""The table that it stands in, and its columns."""

_TABLES = models.BaseModel.metadata.tables
_TRIALS, _PARAMS, _VALUES, _REACHED = "trials", "trial_params", "trial_intermediate_values", "trial_values"
_ATTRIBUTES, _STUDY_ATTRIBUTES = "trial_user_attributes", "study_user_attributes"
_KEYS = {
    _PARAMS: ("trial_id", "param_name"),
    _VALUES: ("trial_id", "step"),
    _REACHED: ("trial_id", "objective"),
    _ATTRIBUTES: ("trial_id", "key"),
    _STUDY_ATTRIBUTES: ("study_id", "key"),
}
"""What there is one row of: a later one takes its place."""
_INSERTS: Mapping[str, Callable[[Any], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def measured(trial_id: int, epoch: int, value: float) -> Row:
    """A value of a trial, by the database's own id."""
    stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    row = {"trial_id": trial_id, "step": epoch, "intermediate_value": stored, "intermediate_value_type": kind}
    return _VALUES, row


def noted(trial_id: int, key: str, tree: Any) -> Row:
    """What else is known of a trial, as JSON."""
    return _ATTRIBUTES, {"trial_id": trial_id, "key": key, "value_json": json.dumps(tree)}


def noted_of_study(study_id: int, key: str, tree: Any) -> Row:
    """What is known of a study, as JSON."""
    return _STUDY_ATTRIBUTES, {"study_id": study_id, "key": key, "value_json": json.dumps(tree)}


def ended(trial_id: int, state: TrialState, values: Sequence[float] = ()) -> list[Row]:
    """A trial has finished, with these values of its objectives."""
    kept = [models.TrialValueModel.value_to_stored_repr(value) for value in values]
    reached: list[Row] = [
        (_REACHED, {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind})
        for objective, (stored, kind) in enumerate(kept)
    ]
    return [*reached, (_TRIALS, {"row": trial_id, "state": state, "datetime_complete": _now()})]


@final
class Rows:
    """An Optuna storage that is written to past Optuna, which asks the database before every row."""

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage
        trials, insert = _TABLES[_TRIALS], _INSERTS[storage.engine.dialect.name]
        self._statements: dict[str, Any] = {_TRIALS: trials.update().where(trials.c.trial_id == bindparam("row"))}
        for name, key in _KEYS.items():
            statement = insert(_TABLES[name])
            rest = {each.name: each for each in statement.excluded if not each.primary_key and each.name not in key}
            self._statements[name] = statement.on_conflict_do_update(index_elements=key, set_=rest)

    def begin(self, study_id: int, trials: Sequence[FrozenTrial], number: int) -> list[int]:
        """Write new trials, all or none, the first with this number; returned are the database's own ids."""
        with self._storage.engine.begin() as connection:
            trial_ids = [_begun(connection, study_id, number + place) for place in range(len(trials))]
            begun = list(zip(trial_ids, trials, strict=True))
            self._write(connection, [row for trial_id, trial in begun for row in _params(trial_id, trial)])
            attributes = ((trial_id, *each) for trial_id, trial in begun for each in trial.user_attrs.items())
            self._write(connection, [noted(*each) for each in attributes])
        return trial_ids

    def find(self, study_id: int, number: int) -> list[int]:
        """The ids of all trials from this number on, in order."""
        trials = _TABLES[_TRIALS].c
        found = select(trials.trial_id).where(trials.study_id == study_id, trials.number >= number)
        with self._storage.engine.connect() as connection:
            return list(connection.scalars(found.order_by(trials.number)))

    def write(self, rows: Sequence[Row]) -> None:
        """All or none; what was written before may be written again."""
        if not rows:
            return
        with self._storage.engine.begin() as connection:
            self._write(connection, rows)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """See Optuna."""
        return self._storage.get_study_user_attrs(study_id)

    def get_all_trials(self, study_id: int) -> list[FrozenTrial]:
        """See Optuna."""
        return self._storage.get_all_trials(study_id, deepcopy=False)

    def _write(self, connection: Connection, rows: Sequence[Row]) -> None:
        for table, group in groupby(rows, key=itemgetter(0)):
            connection.execute(self._statements[table], [columns for _, columns in group])


def _begun(connection: Connection, study_id: int, number: int) -> int:
    """The id of a trial that has nothing yet."""
    row = {"study_id": study_id, "number": number, "state": TrialState.RUNNING, "datetime_start": _now()}
    key = connection.execute(_TABLES[_TRIALS].insert(), row).inserted_primary_key
    assert key is not None, "one row was inserted"
    return int(key.trial_id)


def _params(trial_id: int, trial: FrozenTrial) -> list[Row]:
    kept = [(name, value, trial.distributions[name]) for name, value in trial.params.items()]
    return [
        (
            _PARAMS,
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": distribution.to_internal_repr(value),
                "distribution_json": distribution_to_json(distribution),
            },
        )
        for name, value, distribution in kept
    ]


def _now() -> datetime:
    """In UTC, and without saying so, as Optuna keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)
