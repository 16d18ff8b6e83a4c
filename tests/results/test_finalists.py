"""Who is chosen among finalists, against numbers worked by hand and by scipy."""

import numpy as np
import pytest
from scipy import stats

from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.results.finalists import Finalist, Finalists, judge, winner

UP, DOWN = Goal.MAXIMIZE, Goal.MINIMIZE


def trial(number: int, value: float | None, *, size: int = 100, of: int | None = None, seed: int = 0) -> TrialRecord:
    kind = EndKind.DIVERGED if value is None else EndKind.COMPLETE
    end = End(kind=kind, epoch=9, value=value, metrics={"num_parameters": size})
    return TrialRecord(trial_id=number, params={}, end=end, repeats=of, seed_index=seed)


def sweep(searched: dict[int, float], again: dict[int, list[float | None]], **sizes: int) -> list[TrialRecord]:
    trials = [trial(number, value, size=sizes.get(f"of_{number}", 100)) for number, value in searched.items()]
    for number, values in again.items():
        for seed, value in enumerate(values, start=1):
            trials.append(trial(len(trials), value, of=number, seed=seed))
    return trials


def by_trial(found: list[Finalist]) -> dict[int, Finalist]:
    return {each.trial_id: each for each in found}


def test_the_best_of_the_search_that_went_to_the_end_are_finalists() -> None:
    trials = [*sweep({0: 0.5, 1: 0.9, 2: 0.7}, {1: [0.99]}), TrialRecord(trial_id=9, params={}, values={3: 1.0})]

    assert [each.trial_id for each in Finalists(count=2).of(trials, UP)] == [1, 2]
    assert [each.trial_id for each in Finalists(count=2).of(trials, DOWN)] == [0, 2]


def test_means_and_intervals_are_students() -> None:
    again: dict[int, list[float | None]] = {0: [0.80, 0.90, 0.85], 1: [0.81, 0.80, 0.82]}

    found = by_trial(judge(Finalists(count=2), sweep({0: 0.93, 1: 0.92}, again), UP))

    for number, values in again.items():
        own = np.array(values, dtype=float)
        low, high = stats.t.interval(0.95, 2, loc=own.mean(), scale=stats.sem(own))
        assert found[number].mean == pytest.approx(own.mean())
        assert found[number].half_width == pytest.approx((high - low) / 2)
    assert (found[0].searched, found[0].values) == (0.93, (0.80, 0.90, 0.85))


def test_the_probability_of_being_best_is_that_of_two_students() -> None:
    costs = np.array([[0.30, 0.34, 0.32], [0.33, 0.35, 0.40]])

    found = by_trial(judge(Finalists(count=2), sweep({0: 0.1, 1: 0.2}, dict(enumerate(costs.tolist()))), DOWN))

    grid = np.linspace(-3, 4, 700_001)
    first, second = (stats.t(2, loc=row.mean(), scale=stats.sem(row)) for row in costs)
    exact = np.trapezoid(first.pdf(grid) * second.sf(grid), grid)
    assert found[0].probability == pytest.approx(exact, abs=0.005)
    assert sum(each.probability or 0 for each in found.values()) == pytest.approx(1)


def test_of_those_within_one_standard_error_the_smallest_is_chosen() -> None:
    again: dict[int, list[float | None]] = {0: [0.80, 0.90, 0.85], 1: [0.83, 0.83, 0.83], 2: [0.82, 0.82, 0.82]}
    trials = sweep({0: 0.9, 1: 0.9, 2: 0.9}, again, of_0=900, of_1=400, of_2=100)  # the error is 0.029

    found = judge(Finalists(count=3), trials, UP)

    assert [each.trial_id for each in found] == [0, 1, 2]
    assert [each.trial_id for each in found if each.is_chosen] == [1]
    assert winner(Finalists(count=3), trials, UP) == trials[1]


def test_a_finalist_that_does_not_come_through_again_is_never_chosen() -> None:
    again: dict[int, list[float | None]] = {0: [0.9, None, 0.9], 1: [0.7, 0.71, 0.7]}

    found = by_trial(judge(Finalists(count=2), sweep({0: 0.9, 1: 0.7}, again), UP))

    assert (found[0].mean, found[0].half_width, found[0].probability) == (None, None, 0.0)
    assert (found[1].is_chosen, found[1].probability) == (True, 1.0)


def test_where_none_comes_through_nobody_is_chosen() -> None:
    trials = sweep({0: 0.9}, {0: [None, 0.5]})

    [found] = judge(Finalists(seeds=2), trials, UP)

    assert (found.is_chosen, found.probability) == (False, None)
    assert winner(Finalists(seeds=2), trials, UP) is None


def test_of_single_repetitions_no_probability_is_told() -> None:
    found = judge(Finalists(count=2, seeds=1), sweep({0: 0.9, 1: 0.8}, {0: [0.7], 1: [0.75]}), UP)

    assert [(each.trial_id, each.probability, each.half_width) for each in found] == [(1, None, None), (0, None, None)]


def test_nobody_is_judged_before_all_have_ended() -> None:
    trials = sweep({0: 0.9}, {0: [0.8, 0.9]})

    assert judge(Finalists(), trials, UP) == []
    assert judge(Finalists(), [], UP) == []
    assert winner(None, trials, UP) is None
