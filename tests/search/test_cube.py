"""The search space as a unit cube."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.search.cube import Cube
from hpo.search.distributions import Stored

CUBE = Cube(
    {
        "a": FloatDistribution(-1.0, 3.0),
        "b": FloatDistribution(1e-4, 1.0, log=True),
        "c": FloatDistribution(0.0, 0.6, step=0.1),
        "d": IntDistribution(2, 5),
        "e": IntDistribution(16, 512, log=True),
        "f": CategoricalDistribution([32, 64, 128]),
        "g": CategoricalDistribution(["relu", "gelu"]),
        "h": CategoricalDistribution([True, False]),
    }
)
PARAMS: dict[str, Stored] = {"a": 1.0, "b": 1e-2, "c": 0.2, "d": 5, "e": 91, "f": 128, "g": "relu", "h": False}


def test_params_come_back_from_their_point() -> None:
    back = CUBE.params(CUBE.point(PARAMS))

    assert back == pytest.approx(PARAMS)


def test_every_point_stands_for_params_in_the_space() -> None:
    rng = np.random.default_rng(0)
    corners = [np.zeros(8), np.ones(8)]

    for point in [*rng.random((200, 8)), *corners]:
        params = CUBE.params(point)
        assert -1 <= float(params["a"]) <= 3
        assert 1e-4 <= float(params["b"]) <= 1
        assert params["c"] == pytest.approx(round(float(params["c"]), 1))
        assert params["d"] in (2, 3, 4, 5)
        assert 16 <= int(params["e"]) <= 512
        assert params["f"] in (32, 64, 128)


def test_cells_are_of_equal_width() -> None:
    rng = np.random.default_rng(0)
    drawn = [CUBE.params(point) for point in rng.random((4000, 8))]

    shares = [sum(params["d"] == value for params in drawn) / 4000 for value in (2, 3, 4, 5)]
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_numbers_in_rising_order_are_one_feature_and_names_one_for_each() -> None:
    features = CUBE.features(CUBE.point(PARAMS)[None])[0]

    assert features[:4] == pytest.approx([0.5, 0.5, 2 / 6, 1.0])  # the middle, its logarithm's, step 2 of 6, the last
    assert features[5] == 1.0
    assert features[6:] == pytest.approx([1 / np.sqrt(2), 0, 0, 1 / np.sqrt(2)])


def test_two_choices_are_as_far_apart_as_the_ends_of_a_range() -> None:
    one, other = CUBE.point(PARAMS), CUBE.point(PARAMS | {"g": "gelu"})

    gap = np.linalg.norm(np.diff(CUBE.features(np.array([one, other])), axis=0))
    assert gap == pytest.approx(1.0)


def test_axes_say_whether_they_are_in_order_and_how_far_they_reach_on_a_log_scale() -> None:
    assert CUBE.are_ordered == [True] * 6 + [False] * 2
    assert CUBE.log_spans == pytest.approx([None, np.log(1e4), None, None, np.log(512.5 / 15.5), None, None, None])


def test_points_are_snapped_to_the_middle_of_their_cells() -> None:
    [snapped] = CUBE.snapped(np.full((1, 8), 0.3))

    # 7, 4, 3, 2 and 2 cells; 16 to 512 by whole numbers: 15.5 (512.5 / 15.5)^0.3 = 44.2.
    place = np.log(44 / 15.5) / np.log(512.5 / 15.5)
    assert snapped == pytest.approx([0.3, 0.3, 2.5 / 7, 1.5 / 4, place, 0.5 / 3, 0.25, 0.25])
