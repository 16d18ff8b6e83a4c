"""Who is chosen among finalists, against numbers worked by hand and by scipy."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hpo.errors import HpoError
from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.results.finalists import Finalist, Finalists, judge, winner
from hpo.results.finals import read_finals, write_finals

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


def test_the_probability_of_being_best_is_that_of_students_paired_difference() -> None:
    costs = np.array([[0.30, 0.34, 0.32], [0.33, 0.35, 0.40]])

    found = by_trial(judge(Finalists(count=2), sweep({0: 0.1, 1: 0.2}, dict(enumerate(costs.tolist()))), DOWN))

    one_sided = stats.ttest_rel(costs[0], costs[1], alternative="greater").pvalue
    assert found[0].probability == pytest.approx(one_sided, abs=0.005)
    assert sum(each.probability or 0 for each in found.values()) == pytest.approx(1)


@pytest.mark.parametrize(("goal", "sign"), [(UP, 1), (DOWN, -1)])
def test_the_difference_to_the_best_of_the_search_is_students_paired_by_seed(goal: Goal, sign: int) -> None:
    first, second = np.array([0.80, 0.90, 0.85, 0.84]), np.array([0.82, 0.91, 0.88, 0.85])
    again = {0: first.tolist(), 1: second.tolist()}

    found = by_trial(judge(Finalists(count=2, seeds=4), sweep({0: 0.5 + 0.1 * sign, 1: 0.5}, again), goal))

    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    difference = found[1].difference
    assert found[0].difference is None
    assert difference is not None
    assert difference.mean == pytest.approx(0.0175)
    assert difference.num_examples is None
    width = expected.high - expected.low
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high), abs=0.01 * width)


def test_examples_that_are_hard_for_some_widen_the_difference_as_the_bootstrap_does() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(0.5, 0.3, (2, 60))
    trials = sweep({0: 0.4, 1: 0.5}, {0: [0.5, 0.5, 0.5], 1: [0.6, 0.6, 0.6]})  # no luck of seeds at all
    examples = {each.trial_id: (first if each.repeats == 0 else second) for each in trials[2:]}

    found = by_trial(judge(Finalists(count=2), trials, DOWN, examples))

    bootstrap = stats.bootstrap((second - first,), np.mean, n_resamples=20_000, method="percentile", rng=generator)
    low, high = np.array(bootstrap.confidence_interval) - (second - first).mean() + 0.1
    difference = found[1].difference
    assert difference is not None
    assert difference.num_examples == 60
    assert (difference.low, difference.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_examples_are_left_out_where_a_repetition_kept_none() -> None:
    trials = sweep({0: 0.4, 1: 0.5}, {0: [0.5, 0.4, 0.5], 1: [0.6, 0.6, 0.7]})
    examples = {each.trial_id: np.full(9, 0.5) for each in trials[3:]}

    found = judge(Finalists(count=2), trials, DOWN, examples)

    assert found == judge(Finalists(count=2), trials, DOWN)


def test_finalists_that_scored_the_same_are_the_best_with_equal_probability() -> None:
    again: dict[int, list[float | None]] = {0: [0.8, 0.9, 0.85], 1: [0.8, 0.9, 0.85]}

    found = judge(Finalists(count=2), sweep({0: 0.9, 1: 0.8}, again), UP)

    assert [each.probability for each in found] == [0.5, 0.5]


def test_what_was_left_is_read_again_unless_the_repetitions_are_others(tmp_path: Path) -> None:
    trials = sweep({0: 0.4, 1: 0.5}, {0: [0.5, 0.4], 1: [0.6, 0.7]})
    asked = Finalists(count=2, seeds=2)
    examples = {each.trial_id: np.arange(9.0) for each in trials[2:]}
    left, alone = judge(asked, trials, DOWN, examples), judge(asked, trials, DOWN)
    others = judge(asked, sweep({0: 0.4, 1: 0.5}, {0: [0.5, 0.4], 1: [0.6, 0.8]}), DOWN)
    write_finals(tmp_path / "finalists.json", left)

    assert read_finals(tmp_path / "finalists.json", alone) == left != alone
    assert read_finals(tmp_path / "finalists.json", others) == others
    assert read_finals(tmp_path / "none.json", alone) == alone


def test_a_damaged_file_of_finalists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "finalists.json").write_text('[{"trial_id": 0}]')

    with pytest.raises(
        HpoError, match=r"finalists\.json: must be finalists as hpo leaves them, but are not\. Delete it"
    ):
        read_finals(tmp_path / "finalists.json", [])


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
