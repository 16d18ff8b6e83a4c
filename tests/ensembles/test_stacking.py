import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from hpo.ensembles import stack
from hpo.errors import EnsembleError
from tests.ensembles.members import Array, mean_nll, random_members


def fitted_by_expectation_maximization(probs_of_true: Array) -> Array:
    """Weights of a mixture of fixed parts: members' mean shares in what they explain, again and again."""
    weights = np.full(len(probs_of_true), 1 / len(probs_of_true))
    for _ in range(20_000):
        shares = weights[:, np.newaxis] * probs_of_true
        weights = (shares / shares.sum(0)).mean(1)
    return weights


@pytest.mark.parametrize("seed", range(4))
def test_weights_without_entropy_equal_those_of_expectation_maximization(seed: int) -> None:
    log_probs, labels = random_members(seed, num_members=5, num_examples=150)

    selection = stack(log_probs, labels, size=5, entropy=0)

    expected = fitted_by_expectation_maximization(np.exp(log_probs)[:, np.arange(150), labels])
    assert selection.weights == pytest.approx(np.where(expected < 0.02, 0, expected), abs=2e-3)
    assert selection.weights.sum() == pytest.approx(1)
    assert selection.path == ()


@pytest.mark.parametrize("entropy", [0.0, 0.05, 1.0])
def test_two_weights_equal_the_lowest_point_of_a_line(entropy: float) -> None:
    log_probs, labels = random_members(seed=1, num_members=2)
    probs = np.exp(log_probs)

    def cost(share: float) -> float:
        penalty = entropy * (share * np.log(share) + (1 - share) * np.log(1 - share))
        return mean_nll(share * probs[0] + (1 - share) * probs[1], labels) + float(penalty)

    selection = stack(log_probs, labels, size=2, entropy=entropy)

    lowest = minimize_scalar(cost, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10}).x
    assert selection.weights[0] == pytest.approx(lowest, abs=1e-5)


def test_much_entropy_makes_weights_equal() -> None:
    log_probs, labels = random_members(seed=0)

    assert stack(log_probs, labels, size=4, entropy=1000).weights == pytest.approx(0.25, abs=1e-3)


def test_only_the_best_members_are_weighed() -> None:
    log_probs, labels = random_members(seed=0, num_members=6, num_examples=500)
    log_probs[1, 3] = np.nan

    selection = stack(log_probs, labels, size=2)

    nll = [mean_nll(np.exp(member), labels) for member in log_probs]
    assert selection.members == sorted(np.argsort(nll)[:2].tolist())  # NaN is sorted last


def test_probabilities_too_small_for_a_float_are_stacked() -> None:
    log_probs = np.array([[[-2000.0, 0.0], [0.0, -9.0]], [[-2001.0, 0.0], [0.0, -9.0]]])

    assert stack(log_probs, np.array([0, 0]), size=2, entropy=0).weights == pytest.approx(np.array([1.0, 0.0]))


@pytest.mark.parametrize("entropy", [-0.1, np.nan, np.inf])
def test_a_reward_for_few_members_is_refused(entropy: float) -> None:
    with pytest.raises(EnsembleError, match="must be at least 0 and finite"):
        stack(*random_members(seed=0), size=2, entropy=entropy)
