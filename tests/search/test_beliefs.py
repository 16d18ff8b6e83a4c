"""Beliefs about where good values lie."""

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

from hpo.search.beliefs import Belief, Beliefs, power
from hpo.search.cube import Cube
from hpo.search.distributions import distribution_of
from hpo.spaces import Choice, Domain, LogUniform, Uniform

SPACE: dict[str, Domain] = {
    "kind": Choice(values=("a", "b", "c", "d")),
    "lr": LogUniform(min=1e-4, max=1),
    "x": Uniform(min=0, max=1),
}
CUBE = Cube({path: distribution_of(domain) for path, domain in SPACE.items()})
BELIEFS = Beliefs(CUBE, {"kind": Belief("c", "medium"), "lr": Belief(1e-3, "high")})


def draw(strength: float) -> np.ndarray:
    return BELIEFS.drawn(np.random.default_rng(0).random((4000, 3)), strength)


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_a_number_is_drawn_from_a_power_of_a_normal_density_over_its_axis(strength: float) -> None:
    width = 0.125 / np.sqrt(strength)
    expected = truncnorm((0 - 0.25) / width, (1 - 0.25) / width, 0.25, width)

    assert kstest(draw(strength)[:, 1], expected.cdf).pvalue > 0.01


def test_the_log_density_is_that_of_the_draws() -> None:
    expected = truncnorm(-2, 6, 0.25, 0.125)
    points = np.array([[0.1, place, 0.5] for place in (0.05, 0.25, 0.6)])

    found = BELIEFS.log_density(CUBE.settled(points), 1.0)

    assert found == pytest.approx(expected.logpdf(points[:, 1]) + np.log(4 / 7))  # kind a: a seventh of four cells


def test_the_expected_choice_is_four_times_as_likely_as_any_other() -> None:
    counts = np.bincount((draw(1.0)[:, 0] * 4).astype(int), minlength=4)

    assert counts / 4000 == pytest.approx([1 / 7, 1 / 7, 4 / 7, 1 / 7], abs=0.03)


def test_a_param_of_which_nothing_is_believed_is_drawn_evenly() -> None:
    assert kstest(draw(1.0)[:, 2], "uniform").pvalue > 0.01


def test_beliefs_fade_into_an_even_draw() -> None:
    assert power(0) == 1
    assert power(10) == 0.5
    assert kstest(draw(power(100_000))[:, 1], "uniform").pvalue > 0.01
