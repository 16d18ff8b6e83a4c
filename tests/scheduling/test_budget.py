import pytest

from hpo.records import Goal
from hpo.scheduling.budget import Budget, Spent, exhausted

SPENT = Spent(epochs=100, minutes=10.0, best=0.9)


@pytest.mark.parametrize(
    ("budget", "goal", "why"),
    [
        (Budget(), Goal.MAXIMIZE, None),
        (Budget(epochs=101, minutes=10.1, target=0.91), Goal.MAXIMIZE, None),
        (Budget(epochs=100), Goal.MAXIMIZE, "budget.epochs: 100 reached"),
        (Budget(minutes=10), Goal.MAXIMIZE, "budget.minutes: 10 reached"),
        (Budget(target=0.9), Goal.MAXIMIZE, "budget.target: 0.9 reached"),
        (Budget(target=0.8), Goal.MINIMIZE, None),
        (Budget(target=1.0), Goal.MINIMIZE, "budget.target: 1 reached"),
    ],
)
def test_the_first_limit_reached_ends_the_sweep(budget: Budget, goal: Goal, why: str | None) -> None:
    assert exhausted(budget, SPENT, goal) == why


def test_a_target_is_not_reached_by_nothing() -> None:
    assert exhausted(Budget(target=0.0), Spent(epochs=0, minutes=0.0, best=None), Goal.MAXIMIZE) is None
