import pytest
import torch

from hpo.training.choice import measure_rising, most_lanes


@pytest.mark.parametrize(
    ("seconds", "lanes"),
    [
        ({1: 1.0, 2: 0.6, 4: 0.3, 8: 0.2, 16: 0.1, 32: 0.1}, 16),
        ({1: 1.0, 2: 0.9, 4: 0.95, 8: 1.0}, 1),
        ({1: 1.0, 2: 0.8, 4: 0.78, 8: 0.9}, 1),
        ({1: 1.0, 2: 1.5, 4: 0.7, 8: 0.4, 16: 0.5, 32: 0.45}, 8),
        ({1: 1.0, 2: 0.7, 4: 0.69, 8: 0.69}, 4),
        ({1: 1.0, 2: 0.6, 4: 0.9, 8: 0.2, 16: 0.1, 32: 0.1}, 16),
    ],
)
def test_lanes_double_while_that_pays(seconds: dict[int, float], lanes: int) -> None:
    assert most_lanes(measure_rising(seconds.__getitem__, limit=32), num_trials=64) == lanes


def test_lanes_that_do_not_fit_into_memory_are_bisected() -> None:
    def measure(lanes: int) -> float:
        if lanes > 11:
            raise torch.OutOfMemoryError
        return 1.0 / lanes

    assert most_lanes(measure_rising(measure, limit=256), num_trials=64) == 11


def test_where_two_lanes_do_not_fit_a_trial_trains_alone() -> None:
    def measure(lanes: int) -> float:
        if lanes > 1:
            raise torch.OutOfMemoryError
        return 1.0

    assert measure_rising(measure, limit=256) == {1: 1.0}


def test_the_limit_holds() -> None:
    assert list(measure_rising(lambda lanes: 1.0 / lanes, limit=8)) == [1, 2, 4, 8]


@pytest.mark.parametrize(("num_trials", "lanes"), [(2, 1), (3, 1), (4, 8), (7, 8), (8, 8), (20, 8)])
def test_trials_that_are_too_few_to_gain_train_alone(num_trials: int, lanes: int) -> None:
    seconds = {1: 1.0, 2: 0.9, 4: 0.6, 8: 0.4, 16: 0.5}

    assert most_lanes(seconds, num_trials) == lanes
