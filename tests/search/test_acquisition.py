"""Expected improvement and its maximum."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from hpo.search.acquisition import log_expected_improvement, maximize


@pytest.mark.parametrize("mean", [2.0, 0.3, 0.0, -0.7, -3.0, -6.0])
def test_it_is_the_integral_of_the_improvement(mean: float) -> None:
    std, best = 0.8, 0.1

    found = log_expected_improvement(np.array([mean]), np.array([std]), best)

    expected, _ = quad(
        lambda f: (f - best) * norm.pdf(f, mean, std), best, best + 12 * std + max(0, mean), epsabs=0, epsrel=1e-10
    )
    assert found[0] == pytest.approx(np.log(expected), abs=1e-6)


def test_it_stays_finite_and_ordered_where_improvement_is_all_but_impossible() -> None:
    means = np.array([-10.0, -37.0, -39.0, -500.0, -999.0, -1001.0, -1e6])

    found = log_expected_improvement(means, np.ones(len(means)), best=0.0)

    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()


def test_the_maximum_of_a_narrow_hill_is_found() -> None:
    peak = np.array([0.31, 0.82, 0.5, 0.07])
    near = np.array([[0.5, 0.5, 0.5, 0.5]])

    point = maximize(lambda points: -((points - peak) ** 2).sum(1), near, np.random.default_rng(0))

    assert point == pytest.approx(peak, abs=0.05)


def test_all_candidates_lie_in_the_cube() -> None:
    seen = []

    def gain(points: np.ndarray) -> np.ndarray:
        seen.append(points)
        height: np.ndarray = points.sum(1)
        return height

    maximize(gain, np.array([[0.0, 1.0]]), np.random.default_rng(0))

    everything = np.vstack(seen)
    assert everything.min() >= 0
    assert everything.max() <= 1
