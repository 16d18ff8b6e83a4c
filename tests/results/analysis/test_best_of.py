"""What fewer trials would have had, against all ways to draw them."""

from itertools import combinations

import numpy as np
import pytest

from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.results.analysis import expected_best, of_powers, values_of

VALUES = [0.3, 0.9, 0.5, 0.5, 0.7, 0.1, 0.8]


@pytest.mark.parametrize(("goal", "best"), [(Goal.MAXIMIZE, max), (Goal.MINIMIZE, min)])
def test_it_is_the_mean_over_all_subsets(goal: Goal, best: object) -> None:
    assert callable(best)
    expected = [np.mean([best(each) for each in combinations(VALUES, num)]) for num in range(1, 8)]

    found = expected_best(VALUES, goal, range(1, 8))

    assert [each.value for each in found] == pytest.approx(expected)
    assert [each.num_trials for each in found] == list(range(1, 8))


def test_its_interval_is_that_of_drawing_trials_again() -> None:
    generator = np.random.default_rng(1)
    values = generator.random(20)
    again = [generator.choice(values, len(values)) for _ in range(2000)]
    means = [np.mean([max(each) for each in combinations(drawn, 2)]) for drawn in again]

    [found] = expected_best(values.tolist(), Goal.MAXIMIZE, [2])

    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))), abs=0.02)


def test_of_a_thousand_trials_nothing_overflows() -> None:
    values = np.random.default_rng(0).random(1000).tolist()

    half, all_ = expected_best(values, Goal.MAXIMIZE, [500, 1000])

    assert half.value == pytest.approx(np.mean([max(values), sorted(values)[-2]]), abs=0.01)
    assert all_.value == max(values)


def test_trials_that_diverged_count_as_the_worst_and_those_under_way_not_at_all() -> None:
    ends = [
        End(kind=EndKind.COMPLETE, epoch=3, value=0.9),
        End(kind=EndKind.STOPPED, epoch=1, value=0.4),
        End(kind=EndKind.DIVERGED, epoch=1),
        None,
    ]
    trials = [TrialRecord(trial_id=number, params={}, end=end) for number, end in enumerate(ends)]

    assert values_of(trials, Goal.MAXIMIZE) == [0.9, 0.4, 0.4]
    assert values_of(trials, Goal.MINIMIZE) == [0.9, 0.4, 0.9]
    assert values_of(trials[2:], Goal.MAXIMIZE) == []


@pytest.mark.parametrize(("num", "counts"), [(1, [1]), (4, [1, 2, 4]), (11, [1, 2, 4, 8, 11])])
def test_numbers_of_trials_double_up_to_all(num: int, counts: list[int]) -> None:
    assert of_powers(num) == counts
