import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import Engine, event

from hpo.errors import SpaceError, StudyError
from hpo.records import Decision, End, EndKind, Outcome, Params, Report
from hpo.search.places import Place
from hpo.search.reading import read_trials
from tests.search.opening import SPACE, database_at, open_study, optuna_names, read_with_optuna

COMPLETE = End(
    kind=EndKind.COMPLETE, epoch=3, value=0.9, metrics={"val_accuracy": 0.9, "val_loss": 0.3}, reason={"note": "done"}
)


def report(trial_id: int, epoch: int, value: float = 0.5, checkpoint: str | None = None) -> Report:
    return Report(trial_id=trial_id, epoch=epoch, metrics={"val_accuracy": value}, checkpoint=checkpoint)


def test_ask_gives_running_trials_numbered_from_0_with_the_params_of_the_space(place: Place) -> None:
    with open_study(place) as study:
        asked = study.ask(3)

        assert study.trials() == asked
        assert [trial.trial_id for trial in asked] == [0, 1, 2]
        assert [list(trial.params) for trial in asked] == [list(SPACE)] * 3
        assert [trial.end for trial in asked] == [None] * 3


def test_points_are_tried_first_and_what_they_leave_open_is_proposed(place: Place) -> None:
    points: list[Params] = [{"optimizer.lr": 0.1, "model.dropout": 0.15, "model.hidden": (128, 64)}, {"model.depth": 2}]

    with open_study(place, points=points) as study:
        first, second, third = study.ask(3)

    assert {path: first.params[path] for path in points[0]} == points[0]
    assert first.params.keys() == SPACE.keys()
    assert second.params["model.depth"] == 2
    assert third.params["optimizer.lr"] != 0.1


def test_points_go_on_where_the_study_was_left(place: Place) -> None:
    points: list[Params] = [{"model.depth": 2}, {"optimizer.lr": 0.125}]
    with open_study(place, points=points) as study:
        study.ask(1)

    with open_study(place, points=points) as study:
        [second] = study.ask(1)

    assert second.params["optimizer.lr"] == 0.125


def test_a_point_outside_its_domain_is_refused(place: Place) -> None:
    with pytest.raises(SpaceError, match=r"points\[1\]\.model\.depth: must lie in the space, but 9 does not lie in"):
        open_study(place, points=[{"model.depth": 2}, {"model.depth": 9}])


def test_a_point_of_a_path_that_is_not_searched_is_refused(place: Place) -> None:
    with pytest.raises(SpaceError, match=r"points\[0\]\.epochs: must lie in the space, but 9 does not lie in it\."):
        open_study(place, points=[{"epochs": 9}])


def test_everything_told_is_there_after_a_reload(place: Place) -> None:
    with open_study(place) as study:
        study.ask(3)
        study.record(report(0, 1, 0.4))
        study.record(report(0, 3, 0.9, "trial-0.safetensors"))
        study.tell(0, COMPLETE)
        study.record(report(2, 1, 0.3, "trial-2.safetensors"))
        told = study.trials()

    with open_study(place) as study:
        reloaded = study.trials()

    assert reloaded == told
    assert reloaded[0].end == COMPLETE
    assert reloaded[0].values == {1: 0.4, 3: 0.9}
    assert reloaded[2].checkpoint == "trial-2.safetensors"


def test_decisions_are_there_after_a_reload_and_end_with_their_trial(place: Place) -> None:
    first = Decision(rung=1, value=0.5, cutoff=-math.inf, rank=1, num_seen=1, outcome=Outcome.CONTINUES)
    second = Decision(rung=3, value=0.6, cutoff=0.7, rank=2, num_seen=4, outcome=Outcome.STOPS)
    with open_study(place) as study:
        study.ask(2)
        study.decide({0: first})
        study.decide({0: second})
        study.tell(0, COMPLETE)
        study.decide({0: second})
        told = study.trials()

    with open_study(place) as study:
        reloaded = study.trials()

    assert reloaded == told == read_trials(database_at(place), SPACE)
    assert [trial.decisions for trial in reloaded] == [(first, second), ()]


def test_only_the_first_report_of_an_epoch_counts(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)
        study.record(report(0, 1, 0.4, "first"))
        study.record(report(0, 1, 0.7, "second"))

        assert study.trials()[0].values == {1: 0.4}
        assert study.trials()[0].checkpoint == "first"


def test_a_late_report_of_an_earlier_epoch_keeps_the_newer_checkpoint(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)
        study.record(report(0, 3, checkpoint="at 3"))
    with open_study(place) as study:
        study.record(report(0, 1, checkpoint="at 1"))

        assert study.trials()[0].checkpoint == "at 3"


def test_a_report_repeated_after_a_crash_brings_the_checkpoint_that_was_lost(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)
        study.record(report(0, 1))
        study.record(report(0, 1, checkpoint="at 1"))

        assert study.trials()[0].checkpoint == "at 1"


def test_a_report_after_the_end_changes_nothing(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)
        study.tell(0, COMPLETE)
        told = study.trials()
        study.record(report(0, 9))

        assert study.trials() == told


def test_a_report_without_the_metric_is_refused(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)

        with pytest.raises(
            StudyError,
            match=r"trial 0, epoch 1: a report must hold the metric 'val_accuracy', but holds val_loss\. Report it",
        ):
            study.record(Report(trial_id=0, epoch=1, metrics={"val_loss": 0.1}))


def test_a_diverged_report_needs_no_metric(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)
        study.record(Report(trial_id=0, epoch=1, metrics={"train_loss": math.nan}, first_bad_step=7))

        assert study.trials()[0].values == {}


def test_a_trial_that_was_never_asked_for_is_refused(place: Place) -> None:
    with (
        open_study(place) as study,
        pytest.raises(StudyError, match="trial 5: must be one that was asked for, but the study holds 0 others"),
    ):
        study.record(report(5, 1))


def test_only_the_first_end_counts(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)
        study.tell(0, COMPLETE)
        study.tell(0, End(kind=EndKind.FAILED, epoch=3))

        assert study.trials()[0].end == COMPLETE


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_complete_without_a_number_is_refused_and_the_trial_runs_on(place: Place, value: float | None) -> None:
    with open_study(place) as study:
        study.ask(1)

        with pytest.raises(
            StudyError, match=f"trial 0: a complete trial must have a finite val_accuracy, but has {value}"
        ):
            study.tell(0, replace(COMPLETE, value=value))

        assert study.trials()[0].end is None


@pytest.mark.parametrize(
    ("end", "state", "value", "steps"),
    [
        (COMPLETE, TrialState.COMPLETE, 0.9, {1: 0.5, 3: 0.9}),
        (replace(COMPLETE, kind=EndKind.STOPPED), TrialState.PRUNED, 0.9, {1: 0.5, 3: 0.9}),
        (End(kind=EndKind.DIVERGED, epoch=2, reason={"first_bad_step": 7}), TrialState.PRUNED, None, {1: 0.5}),
        (End(kind=EndKind.FAILED, epoch=1, reason={"error": "ValueError: x"}), TrialState.FAIL, None, {1: 0.5}),
        (End(kind=EndKind.TIMED_OUT, epoch=1, reason={"limit_s": 60}), TrialState.FAIL, None, {1: 0.5}),
    ],
    ids=lambda case: case.kind.value if isinstance(case, End) else "",
)
def test_each_end_is_told_to_optuna(
    place: Place, end: End, state: TrialState, value: float | None, steps: dict[int, float]
) -> None:
    with open_study(place) as study:
        study.ask(1)
        study.record(report(0, 1))
        study.tell(0, end)

    [trial] = read_with_optuna(place)
    assert trial.state is state
    assert trial.value == value
    assert trial.intermediate_values == steps
    with open_study(place) as study:
        assert study.trials()[0].end == end


def test_a_trial_that_died_inside_ask_is_failed_and_not_listed(place: Place) -> None:
    with open_study(place) as study:
        study.ask(1)
    _create_trial_without_params(place)

    with open_study(place) as study:
        study.ask(1)
        listed = [trial.trial_id for trial in study.trials()]

    assert listed == [0, 2]
    assert [trial.state.name for trial in read_with_optuna(place)] == ["RUNNING", "FAIL", "RUNNING"]


class DeadError(Exception):
    """The process is no more."""


@contextmanager
def dying_before(table: str) -> Iterator[None]:
    """At the first statement that writes to it."""

    def die(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith((f"INSERT INTO {table} ", f"UPDATE {table} ")):
            raise DeadError

    event.listen(Engine, "before_cursor_execute", die)
    with pytest.raises(DeadError):
        yield
    event.remove(Engine, "before_cursor_execute", die)


def test_whatever_dies_half_way_was_never_begun(place: Place) -> None:
    with open_study(place, derive=lambda _: {"derived.depth": 1}) as study:
        asked = study.ask(2)
        with dying_before("trial_user_attributes"):
            study.ask(3)
        with dying_before("trial_user_attributes"):
            study.record(report(0, 1, checkpoint="state"))
        with dying_before("trials"):
            study.tell(0, COMPLETE)

        assert study.trials() == asked == read_trials(database_at(place), SPACE)


def test_derived_values_are_kept_with_the_params_and_hidden_from_the_sampler(place: Place) -> None:
    def derive(params: Params) -> Params:
        return {"derived.depth": 2 * int(str(params["model.depth"]))}

    with open_study(place, derive=derive) as study:
        [asked] = study.ask(1)
    with open_study(place) as study:
        [restored] = study.trials()

    assert asked.params["derived.depth"] == 2 * int(str(asked.params["model.depth"]))
    assert restored.params == read_trials(database_at(place), SPACE)[0].params == asked.params
    assert read_with_optuna(place)[0].params.keys() == SPACE.keys()


def _create_trial_without_params(place: Place) -> None:
    name, url = optuna_names(place)
    storage = RDBStorage(url)
    storage.create_new_trial(storage.get_study_id_from_name(name))
    storage.engine.dispose()
