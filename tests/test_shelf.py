"""Which states go, and which never do."""

import logging
from collections.abc import Sequence

import pytest

from hpo.records import End, EndKind, Goal, Report, TrialRecord
from hpo.shelf import Shelf, best_first, surplus

SIZES = {"a": 5, "b": 5, "c": 5, "d": 5, "needed": 7}
GOALS = {"val_accuracy": Goal.MAXIMIZE}


def ended(
    trial_id: int, value: float, kind: EndKind = EndKind.COMPLETE, epoch: int = 9, loss: float = 1
) -> TrialRecord:
    metrics = {"val_accuracy": value, "val_loss": loss}
    end = End(kind=kind, epoch=epoch, value=value, metrics=metrics)
    kept = Report(trial_id=trial_id, epoch=epoch, metrics=metrics, checkpoint=f"state {trial_id}")
    return TrialRecord(trial_id=trial_id, params={}, end=end, kept=kept)


def ids(trials: Sequence[TrialRecord]) -> list[int]:
    return [trial.trial_id for trial in trials]


@pytest.mark.parametrize(
    ("most_bytes", "gone"),
    [
        (27, []),
        (26, ["d"]),
        (22, ["d"]),
        (21, ["d", "c"]),
        (12, ["d", "c", "b"]),
        (11, ["d", "c", "b"]),
        (0, ["d", "c", "b"]),
    ],
)
def test_the_last_go_first_until_the_rest_fits_and_the_first_never_goes(most_bytes: int, gone: list[str]) -> None:
    assert surplus(["a", "b", "c", "d"], SIZES, most_bytes) == gone


def test_nothing_goes_where_nothing_may() -> None:
    assert surplus([], {"needed": 7}, 1) == []


def test_trials_that_failed_go_first_then_those_stopped_early_then_the_worst_of_the_complete() -> None:
    trials = [
        ended(0, 0.99, EndKind.FAILED),
        ended(1, 0.7),
        ended(2, 0.95, EndKind.STOPPED, epoch=3),
        ended(3, 0.9),
        ended(4, 0.8, EndKind.STOPPED, epoch=3),
        ended(5, 0.98, EndKind.STOPPED, epoch=1),
        ended(6, 0.99, EndKind.DIVERGED),
    ]

    assert ids(best_first(trials, GOALS)) == [3, 1, 2, 4, 5, 6, 0]


def test_with_several_goals_the_front_stays_longest() -> None:
    trials = [ended(0, 0.9, loss=0.5), ended(1, 0.8, loss=0.6), ended(2, 0.7, loss=0.3), ended(3, 0.6, loss=0.4)]

    goals = {**GOALS, "val_loss": Goal.MINIMIZE}

    assert ids(best_first(trials, goals)) == [0, 2, 1, 3]


def shelf_of(most_bytes: int | None) -> tuple[Shelf, list[str]]:
    gone: list[str] = []
    return Shelf(GOALS, most_bytes, discard=gone.append, size_of=lambda _: 10), gone


def end(shelf: Shelf, trial: TrialRecord) -> None:
    assert trial.checkpoint is not None
    shelf.replace(None, trial.checkpoint)
    shelf.retire(trial)


def test_states_go_as_soon_as_another_comes_for_which_there_is_no_room() -> None:
    shelf, gone = shelf_of(30)
    for trial_id, value in enumerate((0.5, 0.9, 0.7)):
        end(shelf, ended(trial_id, value))
    before = list(gone)

    shelf.replace(None, "running")

    assert (before, gone) == ([], ["state 0"])


def test_a_trial_that_goes_on_has_one_state_and_its_last_one_takes_no_room() -> None:
    shelf, gone = shelf_of(20)
    end(shelf, ended(0, 0.5))

    shelf.replace(None, "early")
    shelf.replace("early", "late")

    assert gone == ["early"]


def test_the_state_of_an_ended_trial_stays_while_another_needs_it() -> None:
    shelf, gone = shelf_of(20)
    end(shelf, ended(0, 0.5))
    shelf.hold("state 0")  # for a child
    end(shelf, ended(1, 0.9))
    end(shelf, ended(2, 0.7))
    before = list(gone)

    shelf.release("state 0")
    shelf.replace(None, "running")

    assert before == ["state 2"]
    assert gone == ["state 2", "state 0"]


def test_what_is_needed_is_kept_beyond_the_quota_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    shelf, gone = shelf_of(25)
    with caplog.at_level(logging.WARNING):
        end(shelf, ended(0, 0.5))
        for name in "abc":
            shelf.replace(None, name)

    assert gone == []
    [said] = [record.getMessage() for record in caplog.records]
    assert said == (
        "storage.keep: states must take at most 25 B, but 2 that trials go on from, and the winner's, take 30 B. "
        "They are kept all the same."
    )


def test_without_a_quota_nothing_goes_and_no_file_is_looked_at() -> None:
    gone: list[str] = []
    shelf = Shelf(GOALS, discard=gone.append, size_of=lambda _: pytest.fail("looked at"))

    for trial_id in range(3):
        end(shelf, ended(trial_id, 0.5))
    shelf.recall([ended(3, 0.5)])

    assert gone == []


def test_a_new_driver_takes_up_the_states_that_are_still_there() -> None:
    gone: list[str] = []
    sizes = {"state 0": 10, "state 2": 10}
    shelf = Shelf(GOALS, 15, discard=gone.append, size_of=sizes.get)

    shelf.recall([ended(trial_id, value) for trial_id, value in enumerate((0.5, 0.9, 0.7))])

    assert gone == ["state 0"]
