import math
from collections.abc import Mapping

import pytest

from hpo.training.choice import FEW, most_lanes


class Measured:
    """Seconds by lanes, and what was asked for."""

    def __init__(self, seconds: Mapping[int, float], most_that_fit: int = 10_000) -> None:
        self.seconds = seconds
        self.most_that_fit = most_that_fit
        self.asked: list[int] = []

    def __call__(self, lanes: int) -> float:
        self.asked.append(lanes)
        return self.seconds.get(lanes, 1.0 / lanes) if lanes <= self.most_that_fit else math.inf


@pytest.mark.parametrize(
    ("seconds", "num_trials", "lanes"),
    [
        ({1: 1.0, 16: 0.2, 32: 0.1, 64: 0.1, 128: 0.1}, 200, 32),
        ({1: 1.0, 16: 0.2, 32: 0.3, 64: 0.1, 128: 0.2, 256: 0.2}, 300, 64),
        ({1: 1.0, 16: 0.9, 32: 0.9, 64: 0.9}, 200, 1),
        ({1: 1.0, 4: 0.7}, 5, 5),
        ({1: 1.0, 4: 0.8}, 5, 1),
        ({1: 1.0, 2: 0.9}, 2, 1),
        ({1: 1.0, 16: 0.3}, 31, 31),
    ],
)
def test_lanes_double_while_that_pays(seconds: Mapping[int, float], num_trials: int, lanes: int) -> None:
    assert most_lanes(Measured(seconds), num_trials) == lanes


def test_few_trials_need_two_measurements() -> None:
    measured = Measured({})

    most_lanes(measured, num_trials=7)

    assert set(measured.asked) == {1, 4}


@pytest.mark.parametrize("most_that_fit", [2, 3, 11, 21, 100])
def test_lanes_that_do_not_fit_into_memory_are_bisected(most_that_fit: int) -> None:
    assert most_lanes(Measured({}, most_that_fit), num_trials=200) == most_that_fit


def test_where_two_lanes_do_not_fit_a_trial_trains_alone() -> None:
    assert most_lanes(Measured({}, most_that_fit=1), num_trials=200) == 1


def test_a_loss_is_not_measured_further() -> None:
    measured = Measured({1: 1.0, FEW: 1.2})

    assert most_lanes(measured, num_trials=200) == 1
    assert set(measured.asked) == {1, FEW}


def test_the_limit_holds() -> None:
    assert most_lanes(Measured({}), num_trials=100, limit=2 * FEW) == 2 * FEW
