"""Which states go, and which never do."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pytest

from hpo.driver.shelf import Shelf, best_first, surplus
from hpo.records import End, EndKind, Goal, Report, TrialRecord

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
    [(27, []), (26, ["d"]), (22, ["d"]), (21, ["d", "c"]), (12, ["d", "c", "b"]), (7, [*"dcba"]), (0, [*"dcba"])],
)
def test_the_last_go_first_until_the_rest_fits(most_bytes: int, gone: list[str]) -> None:
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
    shelf.release("state 0")
    before = list(gone)

    shelf.replace(None, "running")

    assert before == ["state 2"]
    assert gone == ["state 2", "state 0"]


def test_the_best_stay_in_whatever_order_they_come_and_though_their_ends_are_told_later() -> None:
    shelf, gone = shelf_of(20)
    trials = [ended(trial_id, value) for trial_id, value in enumerate((0.5, 0.9, 0.3, 0.8, 0.6, 0.4))]

    for trial in trials:
        shelf.replace(None, str(trial.checkpoint), trial)
    for trial in trials:
        shelf.retire(trial)

    assert sorted(gone) == ["state 0", "state 2", "state 4", "state 5"]


def test_the_best_of_those_who_have_ended_stays_beside_one_that_may_yet_be_cancelled() -> None:
    shelf, gone = shelf_of(10)
    end(shelf, ended(0, 0.5))

    shelf.replace(None, "state 1", ended(1, 0.9))
    before = list(gone)
    shelf.retire(ended(1, 0.9))

    assert (before, gone) == ([], ["state 0"])


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


@dataclass
class Team:
    """An ensemble whose members a test names."""

    states: Collection[str]
    joined: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    def join(self, trial: TrialRecord) -> None:
        self.joined.append(trial.trial_id)

    def leave(self, trial: TrialRecord) -> None:
        self.left.append(trial.trial_id)

    def members(self) -> Collection[str]:
        return self.states


def test_members_of_the_ensemble_go_after_all_others_and_the_winner_never(caplog: pytest.LogCaptureFixture) -> None:
    gone: list[str] = []
    team = Team({"state 0", "state 3"})
    shelf = Shelf(GOALS, 40, ensemble=team, discard=gone.append, size_of=lambda _: 10)
    for trial_id, value in enumerate((0.3, 0.9, 0.7, 0.5)):
        end(shelf, ended(trial_id, value))

    shelf.replace(None, "a")
    before = list(gone)
    with caplog.at_level(logging.WARNING):
        for state in "bcd":
            shelf.replace(None, state)

    assert before == ["state 2"]
    assert gone == ["state 2", "state 0", "state 3"]
    assert team.left == [2, 0, 3]
    assert caplog.records[0].getMessage() == (
        "storage.keep: states must take at most 40 B, so members of the ensemble so far go too (1 now). Raise it, or "
        "ask for a smaller one."
    )
    assert len(caplog.records) == 2  # and once that the winner's stays nevertheless


def test_an_ensemble_is_told_of_everybody_who_ends_with_a_state_or_did_before() -> None:
    team = Team(())
    shelf = Shelf(GOALS, ensemble=team, discard=lambda _: None)

    shelf.recall([ended(0, 0.5), TrialRecord(trial_id=1, params={})])
    end(shelf, ended(2, 0.5))
    shelf.replace(None, "state 3", ended(3, 0.5))  # through, and not told its end
    shelf.retire(ended(4, 0.5))  # whose state has gone before

    assert team.joined == [0, 2, 3]
