import math

import pytest

from hpo.scheduling.halving import Asha, NoScheduler
from hpo.scheduling.ranking import Ranking

ASHA = Asha(min_epochs=1, eta=3, controls=0.0)


@pytest.mark.parametrize(
    ("scheduler", "max_epochs", "rungs"),
    [
        (Asha(min_epochs=1, eta=3), 27, (1, 3, 9, 27)),
        (Asha(min_epochs=1, eta=3), 20, (1, 3, 9, 20)),
        (Asha(min_epochs=2, eta=4), 32, (2, 8, 32)),
        (Asha(min_epochs=5, eta=2), 5, (5,)),
        (Asha(), 81, (9, 27, 81)),
        (NoScheduler(), 27, (27,)),
    ],
)
def test_rungs_are_powers_of_eta_up_to_the_end(
    scheduler: Asha | NoScheduler, max_epochs: int, rungs: tuple[int]
) -> None:
    assert scheduler.rungs(max_epochs) == rungs


@pytest.mark.parametrize(
    ("cost", "seen", "continues"),
    [
        (0.2, [0.2], True),
        (0.2, [0.2, 0.1], False),
        (0.1, [0.2, 0.1, 0.3], True),
        (0.2, [0.2, 0.1, 0.3], False),
        (0.2, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], True),
        (0.3, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], False),
        (0.1, [0.1, 0.1, 0.1], True),
        (0.2, [math.nan, math.nan, 0.2], True),
    ],
)
def test_decide_keeps_the_best_one_in_eta(cost: float, seen: list[float], continues: bool) -> None:
    verdict = ASHA.decide(cost, Ranking(seen))

    assert verdict.continues is continues


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf])
def test_decide_stops_whatever_is_not_finite(cost: float) -> None:
    assert not ASHA.decide(cost, Ranking([cost])).continues
    assert not ASHA.decide(cost, Ranking([0.5, cost, 0.6])).continues
    assert not NoScheduler().decide(cost, Ranking([cost])).continues


def test_decide_says_what_it_was_judged_by() -> None:
    verdict = ASHA.decide(0.4, Ranking([0.4, 0.1, 0.2, 0.3, 0.5, math.nan]))

    assert (verdict.rank, verdict.num_seen, verdict.cutoff) == (4, 6, 0.2)


def test_planned_epochs_add_up_over_the_rungs() -> None:
    assert ASHA.planned_epochs(27, 27) == 27 * 1 + 9 * 2 + 3 * 6 + 1 * 18
    assert NoScheduler().planned_epochs(10, 27) == 270


def test_the_plan_counts_controls_that_train_to_the_end() -> None:
    asha = Asha(min_epochs=1, eta=3, controls=0.5)

    # Half of those that are not among the best go on: 9 + 9 of 27, 3 + 12, 1 + 13.
    assert asha.trials_per_rung(27, 27) == (27, 18, 15, 14)
    assert asha.planned_epochs(27, 27) == 27 * 1 + 18 * 2 + 15 * 6 + 14 * 18
    assert Asha(min_epochs=1, controls=0.05).trials_per_rung(64, 27) == (64, 23, 9, 5)
