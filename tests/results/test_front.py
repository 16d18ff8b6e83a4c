import numpy as np
import pytest

from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.results import find_front, leaderboard, pareto_front

GOALS = {"val_accuracy": Goal.MAXIMIZE, "num_parameters": Goal.MINIMIZE}


def is_dominated(costs: list[list[int]], one: int) -> bool:
    """In other words: some other row is nowhere above it, and is not the same."""
    return any(
        all(theirs <= own for theirs, own in zip(other, costs[one], strict=True)) and other != costs[one]
        for other in costs
    )


@pytest.mark.parametrize("num_metrics", [1, 2, 3])
def test_the_front_of_random_points_with_ties_is_that_of_every_pair(num_metrics: int) -> None:
    generator = np.random.default_rng(0)
    for num in (0, 1, 2, 7, 40):
        costs = generator.integers(0, 6, (num, num_metrics))

        on_front = pareto_front(costs.astype(float))

        rows = costs.tolist()
        assert on_front.tolist() == [not is_dominated(rows, one) for one in range(num)]


def test_of_equal_rows_both_are_on_the_front() -> None:
    on_front = pareto_front(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 3.0], [1.0, 3.0]]))

    assert on_front.tolist() == [True, True, True, False]


def ended(trial_id: int, accuracy: float, size: int, kind: EndKind = EndKind.COMPLETE) -> TrialRecord:
    metrics = {"val_accuracy": accuracy, "num_parameters": size}
    return TrialRecord(trial_id=trial_id, params={}, end=End(kind=kind, epoch=9, value=accuracy, metrics=metrics))


TRIALS = [
    ended(0, 0.90, 500),
    ended(1, 0.95, 900),
    ended(2, 0.89, 600),  # worse than 0 in both
    ended(3, 0.99, 100, EndKind.DIVERGED),
    ended(4, 0.99, 100, EndKind.STOPPED),
    TrialRecord(trial_id=5, params={}),
]


def test_only_complete_trials_are_on_the_front() -> None:
    assert [trial.trial_id for trial in find_front(TRIALS, GOALS)] == [0, 1]


def test_the_front_of_no_trials_is_empty() -> None:
    assert find_front([], GOALS) == []


def test_the_leaderboard_marks_the_front_of_several_metrics() -> None:
    table = leaderboard(TRIALS, GOALS)

    assert table["trial"].tolist() == [1, 0, 2, 4, 5, 3]
    assert table["on_front"].tolist() == [True, True, False, False, False, False]
    assert table["num_parameters"].tolist()[:3] == [900, 500, 600]
    assert "on_front" not in leaderboard(TRIALS, {"val_accuracy": Goal.MAXIMIZE}).columns
