import math

import pytest

from hpo.scheduling import Asha, Budget, FreezeThaw, full_budget
from hpo.scheduling.ranking import Ranking

FREEZE_THAW = FreezeThaw()


@pytest.mark.parametrize(
    ("scheduler", "max_epochs", "rungs"),
    [
        (FreezeThaw(), 52, (6, 18, 52)),
        (FreezeThaw(), 27, (3, 9, 27)),
        (FreezeThaw(), 4, (1, 3, 4)),
        (FreezeThaw(), 1, (1,)),
        (FreezeThaw(min_epochs=2, eta=4), 32, (2, 8, 32)),
    ],
)
def test_rungs_begin_at_a_ninth_unless_told_otherwise(
    scheduler: FreezeThaw, max_epochs: int, rungs: tuple[int, ...]
) -> None:
    assert scheduler.rungs(max_epochs) == rungs


def test_nobody_sound_is_stopped_at_a_rung() -> None:
    worst = FREEZE_THAW.decide(0.9, Ranking([0.9, 0.1, 0.2]))

    assert worst.continues
    assert (worst.rank, worst.num_seen) == (3, 3)


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf])
def test_whatever_is_not_finite_stops(cost: float) -> None:
    assert not FREEZE_THAW.decide(cost, Ranking([0.5, cost])).continues


@pytest.mark.parametrize(
    ("gains", "of_new", "chosen"),
    [
        ({1: -2.0, 2: -1.0, 3: -9.0}, -5.0, [2, 1]),
        ({1: -2.0, 2: -1.0}, -0.5, []),
        ({1: -2.0, 2: -1.0, 3: -9.0}, None, [2, 1, 3]),
        ({4: -1.0, 1: -1.0}, -1.0, [1, 4]),
        ({}, -5.0, []),
        ({1: -math.inf}, math.inf, []),
    ],
)
def test_whoever_promises_at_least_what_a_new_trial_does_goes_on_best_first(
    gains: dict[int, float], of_new: float | None, chosen: list[int]
) -> None:
    all_there = dict.fromkeys(range(9), 3)  # of whom three may go on

    assert FREEZE_THAW.choose(all_there, gains, of_new, num_slots=1) == chosen


@pytest.mark.parametrize(
    ("num_slots", "chosen"), [(1, [8, 7]), (2, [8])], ids=["a third of 6", "half of it for each of two slots"]
)
def test_they_wait_at_the_rung_of_the_most_promising_and_are_a_slots_share_of_one_in_eta_there(
    num_slots: int, chosen: list[int]
) -> None:
    waiting = {1: 3, 2: 3, 3: 9, 4: 9, 5: 9, 6: 9, 7: 9, 8: 9}
    gains = {trial_id: float(trial_id) for trial_id in waiting} | {2: 7.5}

    assert FREEZE_THAW.choose(waiting, gains, 0.0, num_slots) == chosen


def test_a_budget_of_trials_is_one_of_the_epochs_that_halving_would_train() -> None:
    budget = full_budget(Budget(trials=27), FREEZE_THAW, max_epochs=27)

    assert budget.epochs == 27 * 3 + 9 * 6 + 3 * 18
    assert full_budget(Budget(trials=27, epochs=100), FREEZE_THAW, max_epochs=27).epochs == 100
    assert full_budget(Budget(trials=27), Asha(), max_epochs=27).epochs is None
