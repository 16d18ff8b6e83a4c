"""What a study writes is what Optuna would have written."""

import math
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.places import Place
from hpo.search.rows import Rows, ended, measured, noted, noted_of_study
from tests.search.opening import optuna_names

VALUES = {1: 0.1 + 0.2, 2: math.nan, 3: math.inf, 4: -math.inf}
TREE = {"note": ["a", 1, None]}


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def proposed(lr: float) -> FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING,
        params={"lr": lr, "depth": 3, "kind": "adam"},
        distributions={
            "lr": FloatDistribution(1e-4, 1.0, log=True),
            "depth": IntDistribution(1, 5),
            "kind": CategoricalDistribution(["sgd", "adam"]),
        },
        user_attrs=TREE,
    )


def write_with_optuna(storage: RDBStorage, study_id: int) -> None:
    first, second, _ = (storage.create_new_trial(study_id, proposed(lr)) for lr in (0.1, 0.01, 0.001))
    for epoch, value in VALUES.items():
        storage.set_trial_intermediate_value(first, epoch, value)
    storage.set_trial_user_attr(first, "more", TREE)
    storage.set_trial_user_attr(first, "note", "changed")
    storage.set_trial_state_values(first, TrialState.COMPLETE, [0.9, 0.3])
    storage.set_trial_state_values(second, TrialState.FAIL)
    storage.set_study_user_attr(study_id, "logbook", TREE)


def write_past_optuna(storage: RDBStorage, study_id: int) -> None:
    rows = Rows(storage)
    first, second = rows.begin(study_id, [proposed(0.1), proposed(0.01)], 0)
    rows.begin(study_id, [proposed(0.001)], 2)
    told = [measured(first, epoch, value) for epoch, value in VALUES.items()]
    told += [noted(first, "more", TREE), noted(first, "note", "changed")]
    for _ in range(2):  # as when the first answer was lost
        rows.write([*told, *ended(first, TrialState.COMPLETE, [0.9, 0.3])])
    rows.write(ended(second, TrialState.FAIL))
    for tree in ("before", TREE):
        rows.write([noted_of_study(study_id, "logbook", tree)])


def shown(trial: FrozenTrial) -> str:
    """All of it but its id and its times; NaN is NaN."""
    return repr(
        (
            *(trial.number, trial.state, trial.values, trial.params, trial.distributions),
            *(sorted(trial.user_attrs.items()), sorted(trial.intermediate_values.items())),
        )
    )


@pytest.mark.usefixtures("_far_from_greenwich")
def test_optuna_reads_what_it_would_have_written_itself(place: Place) -> None:
    name, url = optuna_names(place)
    storage = RDBStorage(url)
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    theirs, ours = (storage.create_new_study(directions, f"{name}-{by}") for by in ("optuna", "hpo"))

    write_with_optuna(storage, theirs)
    write_past_optuna(storage, ours)

    trials = storage.get_all_trials(ours)
    assert [shown(trial) for trial in trials] == [shown(trial) for trial in storage.get_all_trials(theirs)]
    assert storage.get_study_user_attrs(ours) == storage.get_study_user_attrs(theirs) == {"logbook": TREE}
    for moment in (trials[0].datetime_start, trials[0].datetime_complete, trials[1].datetime_complete):
        assert moment is not None
        assert abs(datetime.now() - moment) < timedelta(minutes=5)
    assert [trial.datetime_complete for trial in trials[2:]] == [None]
    storage.engine.dispose()


def test_trials_are_found_again_by_their_numbers(place: Place) -> None:
    name, url = optuna_names(place)
    storage = RDBStorage(url)
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], name)
    rows = Rows(storage)

    begun = rows.begin(study_id, [proposed(0.1), proposed(0.2), proposed(0.3)], 0)

    assert rows.find(study_id, 1) == begun[1:]
    assert rows.find(study_id, 3) == []
    storage.engine.dispose()
