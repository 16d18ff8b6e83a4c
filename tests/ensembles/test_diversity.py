import numpy as np
import pytest
from scipy.stats import entropy

from hpo.ensembles import diversity, information, pool
from hpo.ensembles.diversity import disagreements
from hpo.errors import EnsembleError
from tests.ensembles.members import log_of, mean_nll, random_members

SEEDS = range(5)
# What three members predict of four examples of class 0; the first errs once, the second twice, the third never.
CLASSES = np.array([[0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]])
THREE = np.log(np.where(np.arange(2) == CLASSES[:, :, np.newaxis], 0.9, 0.1))
TRUTH = np.zeros(4, int)


def test_disagreement_is_the_share_of_examples_classified_differently() -> None:
    expected = np.array([[0, 1, 1], [1, 0, 2], [1, 2, 0]]) / 4

    assert disagreements(THREE) == pytest.approx(expected)


def test_diversity_of_three_members_as_worked_by_hand() -> None:
    found = diversity(THREE, TRUTH, np.array([0.25, 0.25, 0.5]))

    assert found.members == (0, 1, 2)
    assert found.disagreement == pytest.approx((1 + 1 + 2) / 3 / 4)
    assert found.disagreement_per_error == pytest.approx((4 / 12) / (3 / 12))
    assert found.error_correlation == pytest.approx(1 / np.sqrt(3))  # (1 - 4/4 * 1/2) / 4 over sqrt(3/16 * 1/4)
    assert found.oracle_accuracy == 1.0


def pair(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two members that are right so often together, the one alone, the other alone, and not at all."""
    right = np.repeat([[1, 1, 0, 0], [1, 0, 1, 0]], [both, first, second, neither], axis=1)
    return np.log(np.where(np.arange(2) == 1 - right[:, :, np.newaxis], 0.9, 0.1)), np.zeros(right.shape[1], int)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((50, 10, 20, 20), (50 * 20 - 10 * 20) / (50 * 20 + 10 * 20)),
        ((36, 24, 24, 16), 0.0),  # independent: 0.6 * 0.6, 0.6 * 0.4, ...
        ((5, 0, 3, 2), 1.0),  # one never errs alone
        ((5, 2, 3, 0), -1.0),  # never both wrong
        ((7, 3, 0, 0), None),  # one of them never errs
    ],
)
def test_the_q_statistic_is_yules(counts: tuple[int, int, int, int], expected: float | None) -> None:
    log_probs, labels = pair(*counts)

    found = diversity(log_probs, labels, np.array([0.5, 0.5])).q_statistic

    assert found == (None if expected is None else pytest.approx(expected))


def test_the_q_statistic_is_the_mean_over_pairs_that_have_one() -> None:
    errors = np.array([[1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]])
    log_probs = np.log(np.where(np.arange(2) == errors[:, :, np.newaxis], 0.9, 0.1))

    found = diversity(log_probs, np.zeros(6, int), np.full(4, 0.25)).q_statistic

    # counts (both right, one, other, none): (3, 1, 1, 1), (2, 2, 1, 1), (2, 2, 1, 1); the fourth never errs
    assert found == pytest.approx(((3 - 1) / (3 + 1) + (2 - 2) / (2 + 2) + (2 - 2) / (2 + 2)) / 3)


def test_only_members_with_a_weight_count() -> None:
    spoiled = np.concatenate([THREE, np.full((1, 4, 2), np.nan)])

    assert diversity(spoiled, TRUTH, np.array([0.5, 0.5, 0, 0])) == diversity(THREE[:2], TRUTH, np.array([0.5, 0.5]))


@pytest.mark.parametrize("seed", SEEDS)
def test_ambiguity_is_the_gain_of_pooling_and_never_below_0(seed: int) -> None:
    log_probs, labels = random_members(seed)
    weights = np.random.default_rng(seed).dirichlet(np.ones(4))

    found = diversity(log_probs, labels, weights)

    alone = [mean_nll(np.exp(member), labels) for member in log_probs]
    pooled = mean_nll(np.tensordot(weights, np.exp(log_probs), 1), labels)
    assert found.ambiguity == pytest.approx(weights @ np.array(alone) - pooled)
    assert found.ambiguity > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_contribution_is_what_the_nll_rises_by_without_the_member(seed: int) -> None:
    log_probs, labels = random_members(seed)
    weights = np.array([0.4, 0.3, 0.2, 0.1])

    found = diversity(log_probs, labels, weights).contributions

    whole = mean_nll(np.exp(pool(log_probs, weights)), labels)
    for member, contribution in enumerate(found or ()):
        rest = np.delete(weights, member)
        left = np.tensordot(rest / rest.sum(), np.exp(np.delete(log_probs, member, axis=0)), 1)
        assert contribution == pytest.approx(mean_nll(left, labels) - whole)
    assert len(found or ()) == 4


def test_a_single_member_differs_from_nobody() -> None:
    found = diversity(THREE, TRUTH, np.array([0.0, 0.0, 1.0]))

    assert (found.disagreement, found.disagreement_per_error, found.error_correlation) == (None, None, None)
    assert found.contributions is None
    assert found.ambiguity == pytest.approx(0, abs=1e-12)


def test_members_that_all_rule_out_what_is_true_are_refused() -> None:
    with pytest.raises(EnsembleError, match="but all rule it out"):
        diversity(np.array([[[0.0, -np.inf]]] * 2), np.array([1]), np.array([0.5, 0.5]))


@pytest.mark.parametrize("seed", SEEDS)
def test_mutual_information_is_the_mean_divergence_from_the_pooled(seed: int) -> None:
    log_probs, _ = random_members(seed)
    weights = np.array([0.4, 0.3, 0.2, 0.1])

    found = information(log_probs, weights)

    pooled = np.tensordot(weights, np.exp(log_probs), 1)
    divergences = [entropy(np.exp(member), pooled, axis=1) for member in log_probs]
    assert found.entropy == pytest.approx(entropy(pooled, axis=1))
    assert found.mutual_information == pytest.approx(weights @ np.array(divergences))


def test_members_that_are_alike_leave_no_information_open() -> None:
    log_probs = np.repeat(log_of([[[1.0, 2.0, -np.inf]]]), 3, axis=0)

    assert information(log_probs, np.full(3, 1 / 3)).mutual_information == pytest.approx(0, abs=1e-12)
