"""How many independent networks a predictor is worth, against numbers worked by hand."""

from itertools import combinations

import numpy as np
import pytest

from hpo.ensembles import calibrated_nll, deep_curve, equivalent
from tests.ensembles.members import log_of, random_members


def test_the_curve_is_the_mean_over_ensembles_of_each_size() -> None:
    log_probs, labels = random_members(0)
    members = log_probs[:3]

    curve = deep_curve(members, labels, seed=2)

    expected = []
    for size in (1, 2, 3):
        means = [np.log(np.mean([np.exp(own) for own in each], axis=0)) for each in combinations(members, size)]
        expected.append(np.mean([calibrated_nll(mean, labels, 2) or 0 for mean in means]))
    assert curve == pytest.approx(expected)


def test_networks_that_differ_by_luck_are_worth_more_the_more_they_are() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=600)
    networks = log_of(1.5 * np.eye(3)[labels] + 1.5 * generator.normal(size=(6, 600, 3)))

    curve = deep_curve(networks, labels, seed=0)

    assert curve is not None
    assert list(curve) == sorted(curve, reverse=True)


def test_there_is_no_curve_of_networks_that_rule_out_the_truth() -> None:
    log_probs, labels = random_members(0)
    log_probs[1, 0, labels[0]] = -np.inf

    assert deep_curve(log_probs, labels, seed=0) is None


@pytest.mark.parametrize(
    ("nll", "num_networks", "is_beyond"),
    [
        (0.9, 1.0, False),
        (0.8, 1.0, False),
        (0.75, 1.5, False),  # half way from 0.8 to 0.7
        (0.7, 2.0, False),
        (0.68, 3.5, False),  # the third is worse than the second; half way from 0.71 to 0.65
        (0.65, 4.0, False),
        (0.6, 4.0, True),
    ],
)
def test_an_equivalent_is_the_smallest_deep_ensemble_that_is_as_good(
    nll: float, num_networks: float, is_beyond: bool
) -> None:
    found = equivalent(nll, (0.8, 0.7, 0.71, 0.65))

    assert found.num_networks == pytest.approx(num_networks)
    assert found.is_beyond is is_beyond
