"""Formulas against hand-worked numbers and numpy."""

import math

import numpy as np
import pytest
import torch

from hpo.training.diagnostics import measures


def test_saturated_are_activations_beyond_the_published_bounds() -> None:
    assert measures.saturated_tanh(torch.tensor([[-0.98, 0.96, 0.0, 0.971]])) == 0.5
    assert measures.saturated_sigmoid(torch.tensor([[0.02, 0.04, 0.5, 0.98]])) == 0.5


def test_a_unit_is_dead_that_is_0_for_every_example_and_place() -> None:
    images = torch.zeros(2, 4, 3, 3)
    images[1, 2, 0, 1] = 0.1

    assert measures.dead(images) == 0.75
    assert measures.dead(torch.tensor([[0.0, 1.0], [0.0, 0.0]])) == 0.5


def test_constancy_is_the_means_share_of_the_second_moment() -> None:
    """Means 2 and 0, second moments 5 and 1: 4 of 6."""
    out = torch.tensor([[1.0, 1.0], [3.0, -1.0]])

    assert measures.constancy(out) == pytest.approx(4 / 6)
    assert measures.constancy(torch.full((5, 2), 3.0)) == 1.0
    assert measures.constancy(torch.zeros(5, 2)) == 1.0


def test_correlation_is_numpys_of_the_features_that_vary() -> None:
    features = np.random.default_rng(0).normal(size=(50, 4)) @ np.triu(np.ones((4, 4)))
    expected = np.abs(np.corrcoef(features.T))[np.triu_indices(4, 1)].mean()
    with_constant = np.column_stack([features, np.full(50, 7.0)])

    assert measures.correlation(torch.from_numpy(with_constant)) == pytest.approx(expected)
    assert math.isnan(measures.correlation(torch.ones(5, 3)))


def test_effective_rank_is_the_exponential_of_the_entropy_of_numpys_eigenvalues() -> None:
    features = np.random.default_rng(0).normal(size=(40, 5)) * [5, 2, 1, 0.1, 0]
    eigenvalues = np.linalg.eigvalsh(np.cov(features.T))[1:]  # the first is 0
    shares = eigenvalues / eigenvalues.sum()

    found = measures.effective_rank(torch.from_numpy(features))

    assert found == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert measures.effective_rank(torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])) == pytest.approx(
        2
    )
    assert math.isnan(measures.effective_rank(torch.ones(5, 3)))


def test_a_ratio_of_updates_is_of_norms_and_of_no_weights_that_were_0() -> None:
    before = {"a": torch.tensor([[3.0, 4.0]]), "b": torch.zeros(1, 2)}
    after = {"a": torch.tensor([[3.0, 4.5]]), "b": torch.ones(1, 2)}

    assert measures.ratio_of_updates(before, after) == pytest.approx([0.1])


def test_a_spread_is_told_as_least_median_and_largest_and_hides_no_nan() -> None:
    assert measures.spread("x", [1.0, 8.0, 2.0, 4.0]) == {"x_least": 1.0, "x_median": 3.0, "x_largest": 8.0}
    assert all(math.isnan(value) for value in measures.spread("x", [1.0, math.nan]).values())
    assert measures.spread("x", []) == {}


def test_the_entropy_of_classes_is_worked_by_hand() -> None:
    assert measures.entropy_of(torch.tensor([0, 0, 1, 3])) == pytest.approx(1.5 * math.log(2))
