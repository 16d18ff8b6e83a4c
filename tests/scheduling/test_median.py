import math

import numpy as np
import pytest

from hpo.scheduling import Median
from hpo.scheduling.line import Line
from hpo.scheduling.ranking import Ranking

MEDIAN = Median(min_epochs=3)


@pytest.mark.parametrize(
    ("scheduler", "max_epochs", "rungs"),
    [
        (Median(min_epochs=3), 9, (3, 6, 9)),
        (Median(min_epochs=3), 10, (3, 6, 9, 10)),
        (Median(), 18, (2, 5, 8, 11, 14, 17, 18)),
        (Median(min_epochs=2, every=5), 12, (2, 7, 12)),
        (Median(min_epochs=5), 5, (5,)),
    ],
)
def test_rungs_come_every_so_often_up_to_the_end(scheduler: Median, max_epochs: int, rungs: tuple[int, ...]) -> None:
    assert scheduler.rungs(max_epochs) == rungs


def test_the_plan_is_the_most_that_may_be_trained() -> None:
    assert MEDIAN.planned_epochs(10, 9) == 90
    assert MEDIAN.trials_per_rung(10, 9) == (10, 10, 10)


@pytest.mark.parametrize(
    ("course", "averages", "continues"),
    [
        ([0.9, 0.5], [0.4, 0.6, 0.6], True),
        ([0.9, 0.7], [0.4, 0.6, 0.8], False),
        ([0.5, 0.9], [0.4, 0.6, 0.8], True),
        ([0.6, 0.6], [0.4, 0.6, 0.8], True),
        ([0.6], [0.4, 0.6], False),
        ([0.9], [], True),
        ([0.9], [0.8, math.inf, math.inf], True),
        ([math.nan, 0.7], [0.4, 0.6, 0.8], False),
        ([math.nan, 0.5], [0.4, 0.6, 0.8], True),
    ],
    ids=[
        "better",
        "worse",
        "it was better once",
        "as good",
        "of two, the middle",
        "the first",
        "others diverged",
        "worse where it is a number",
        "better where it is a number",
    ],
)
def test_a_trial_whose_best_is_worse_than_the_median_stops(
    course: list[float], averages: list[float], continues: bool
) -> None:
    assert MEDIAN.decide(course, Ranking(averages)).continues is continues


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stops_and_counts_as_the_worst_of_the_others(cost: float) -> None:
    line = Line(MEDIAN, 9)

    verdicts = line.judge(3, {0: [0.1, 0.1, cost], 1: [0.9, math.inf, -math.inf], 2: [0.5, 0.5, 0.5]})

    assert [verdict.continues for verdict in verdicts.values()] == [False, False, True]
    assert verdicts[2].cutoff == math.inf


def test_a_verdict_says_what_it_was_judged_by() -> None:
    verdict = MEDIAN.decide([0.9, 0.7], Ranking([0.4, 0.6, 0.8]))

    assert (verdict.rank, verdict.num_seen, verdict.cutoff) == (3, 4, 0.6)


def test_the_median_is_that_of_the_running_averages_of_the_others() -> None:
    rng = np.random.default_rng(0)
    costs = rng.random((40, 1)) + 0.3 * rng.random((40, 12))
    line = Line(MEDIAN, 12)
    stopped = 0

    for epoch in (3, 6, 9):
        averages = np.cumsum(costs, axis=1)[:, epoch - 1] / epoch
        for first in (0, 10, 20, 30):
            cohort = range(first, first + 10)
            verdicts = line.judge(epoch, {trial_id: costs[trial_id, :epoch].tolist() for trial_id in cohort})
            for trial_id, verdict in verdicts.items():
                median = np.median(np.delete(averages[: first + 10], trial_id))
                assert verdict.continues == (costs[trial_id, :epoch].min() <= median)
                assert verdict.cutoff == pytest.approx(median)
                stopped += not verdict.continues

    assert 30 < stopped < 90
