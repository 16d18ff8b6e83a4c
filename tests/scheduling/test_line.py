"""What holds for every scheduler, by way of the line that asks it."""

import itertools
import math

import pytest

from hpo.scheduling import Asha, FreezeThaw, Hyperband, Median, NoScheduler, Scheduler
from hpo.scheduling.line import Line

COMPARING: list[Scheduler] = [
    Asha(min_epochs=1, compare="best"),
    Asha(min_epochs=1, compare="best", form="promotion"),
    Hyperband(min_epochs=1, compare="best"),
]
SCHEDULERS: list[Scheduler] = [
    NoScheduler(),
    Asha(min_epochs=1),
    Asha(min_epochs=1, form="promotion"),
    Hyperband(min_epochs=1),
    Median(min_epochs=1),
    FreezeThaw(min_epochs=1),
    *COMPARING,
]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda scheduler: scheduler.kind)
@pytest.mark.parametrize("last", [math.nan, math.inf, -math.inf])
def test_a_trial_whose_last_value_is_not_finite_stops_even_if_it_is_the_first(
    scheduler: Scheduler, last: float
) -> None:
    line = Line(scheduler, 9)

    alone = line.judge(9, {0: [0.1, last]})[0]
    among = line.judge(9, {2: [0.1, last], 4: [0.9, 0.9]})

    assert not alone.continues
    assert not among[2].continues


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda scheduler: scheduler.kind)
def test_trials_that_arrive_together_are_judged_by_all_values_that_have_arrived_in_whatever_order(
    scheduler: Scheduler,
) -> None:
    courses = {0: [0.4], 2: [0.1], 4: [0.3], 6: [0.2]}  # of one bracket
    verdicts = []

    for order in itertools.permutations(courses):
        line = Line(scheduler, 9)
        line.judge(1, {7: [0.25], 10: [0.15]})
        verdicts.append(line.judge(1, {trial_id: courses[trial_id] for trial_id in order}))

    assert all(found == verdicts[0] for found in verdicts)
    assert {verdict.num_seen for verdict in verdicts[0].values()} == {6}


@pytest.mark.parametrize("scheduler", COMPARING, ids=lambda scheduler: scheduler.kind)
def test_the_best_so_far_is_compared_where_that_is_asked_for(scheduler: Scheduler) -> None:
    line = Line(scheduler, 9)

    verdicts = line.judge(3, {0: [0.6, 0.2, 0.7], 2: [0.5, 0.4, 0.3], 4: [math.nan, 0.9, 0.8]})

    assert {trial_id: (verdict.cost, verdict.rank) for trial_id, verdict in verdicts.items()} == {
        0: (0.2, 1),
        2: (0.3, 2),
        4: (0.8, 3),
    }
    assert {verdict.cutoff for verdict in verdicts.values()} == {0.2}
