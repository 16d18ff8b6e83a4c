import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss, recall_score
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from hpo.ensembles import are_right, interval, interval_of_difference, measure, nlls
from hpo.ensembles.confidence import adaptive_ece, aurc, confidences, reliability, selective_accuracies
from hpo.errors import EnsembleError
from tests.ensembles.members import Array, Labels, random_members

SEEDS = range(5)
# Confidences 0.9, 0.8, 0.6, 0.55; the second prediction is wrong.
FOUR = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])
TRUTH = np.array([0, 0, 0, 1])


def predictions(seed: int) -> tuple[Array, Labels]:
    (log_probs,), labels = random_members(seed, num_members=1, num_examples=300, num_classes=6)
    return log_probs, labels


@pytest.mark.parametrize("seed", SEEDS)
def test_measures_equal_those_of_scikit_learn(seed: int) -> None:
    log_probs, labels = predictions(seed)
    probs, classes = np.exp(log_probs), log_probs.argmax(1)

    measured = measure(log_probs, labels)

    assert measured.nll == pytest.approx(log_loss(labels, probs))
    assert measured.brier == pytest.approx(brier_score_loss(labels, probs))
    assert measured.macro_f1 == pytest.approx(f1_score(labels, classes, average="macro"))
    assert measured.recalls == pytest.approx(recall_score(labels, classes, average=None))
    assert measured.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, classes))
    assert measured.num_examples == 300


@pytest.mark.parametrize("seed", SEEDS)
def test_measures_equal_those_of_torchmetrics(seed: int) -> None:
    log_probs, labels = predictions(seed)
    probs, truth = torch.from_numpy(np.exp(log_probs)), torch.from_numpy(labels)

    measured = measure(log_probs, labels)

    assert measured.ece == pytest.approx(multiclass_calibration_error(probs, truth, 6, n_bins=15).item(), abs=1e-6)
    assert measured.accuracy == pytest.approx(multiclass_accuracy(probs, truth, 6, average="micro").item())
    assert measured.balanced_accuracy == pytest.approx(multiclass_accuracy(probs, truth, 6, average="macro").item())


@pytest.mark.parametrize("seed", SEEDS)
def test_bins_of_a_reliability_diagram_hold_every_example_once_and_make_up_the_calibration_error(seed: int) -> None:
    log_probs, labels = predictions(seed)
    probs, truth = np.exp(log_probs), torch.from_numpy(labels)

    bins = reliability(confidences(log_probs, labels))

    gaps = [each.num_examples / 300 * abs(each.confidence - each.accuracy) for each in bins]
    expected = multiclass_calibration_error(torch.from_numpy(probs), truth, 6, n_bins=15).item()
    assert sum(gaps) == pytest.approx(expected, abs=1e-6)
    assert sum(each.num_examples for each in bins) == 300
    assert sum(each.num_examples * each.accuracy for each in bins) == pytest.approx((probs.argmax(1) == labels).sum())
    edges = [each.confidence * 15 for each in bins]
    assert [math.ceil(edge) for edge in edges] == sorted({math.ceil(edge) for edge in edges})


def test_a_class_that_does_not_occur_has_no_recall_and_spoils_no_mean() -> None:
    log_probs = np.log([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1]])

    measured = measure(log_probs, np.array([0, 0, 1, 1]))

    assert measured.recalls == (1.0, 0.5, None)
    assert measured.balanced_accuracy == 0.75
    assert measured.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_class_that_is_predicted_but_does_not_occur_lowers_the_f1() -> None:
    log_probs, labels = predictions(0)
    labels = np.minimum(labels, 4)

    measured = measure(log_probs, labels)

    assert (log_probs.argmax(1) == 5).any()
    assert measured.macro_f1 == pytest.approx(f1_score(labels, log_probs.argmax(1), average="macro"))
    assert measured.recalls[5] is None


def test_a_true_class_of_probability_0_makes_the_nll_infinite() -> None:
    assert measure(np.array([[0.0, -np.inf]]), np.array([1])).nll == np.inf


def test_predictions_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(EnsembleError, match="a row is not finite"):
        measure(np.array([[np.nan, 0.0]]), np.array([1]))


def test_the_brier_score_splits_into_calibration_and_refinement() -> None:
    # Of each class half the examples have probability 0.8 and half 0.2; of those with 0.8 half are true, not 0.8.
    log_probs = np.log([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8]])

    measured = measure(log_probs, np.array([0, 1, 0, 1]))

    assert measured.calibration == pytest.approx(2 * 0.3**2)
    assert measured.refinement == pytest.approx(2 * 0.25)
    assert measured.brier == pytest.approx(measured.calibration + measured.refinement)


def test_adaptive_ece_is_over_bins_of_equal_mass() -> None:
    # 30 examples in 15 bins of two: confidences 0.99, 0.98, ..., of which every third is wrong.
    confidence = 0.99 - 0.01 * np.arange(30)
    wrong = np.arange(30) % 3 == 0
    log_probs = np.log(np.stack([confidence, 1 - confidence], 1))

    found = adaptive_ece(confidences(log_probs, wrong.astype(int)))

    gaps = [abs(confidence[i] + confidence[i + 1] - (2 - wrong[i] - wrong[i + 1])) for i in range(0, 30, 2)]
    assert found == pytest.approx(sum(gaps) / 30)


def test_aurc_is_the_mean_error_of_the_most_confident() -> None:
    assert aurc(confidences(FOUR, TRUTH)) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_selective_accuracy_answers_the_most_confident_share() -> None:
    ranked = confidences(FOUR, TRUTH)

    assert selective_accuracies(ranked, (0.25, 0.5, 0.6, 1.0)) == pytest.approx((1.0, 1 / 2, 2 / 3, 3 / 4))
    with pytest.raises(EnsembleError, match="Coverages must be above 0 and at most 1, but are \\[0\\]"):
        selective_accuracies(ranked, [0])


def test_examples_of_equal_confidence_count_as_their_mean_in_any_order() -> None:
    log_probs = np.log(np.tile([0.75, 0.25], (4, 1)))

    for labels in ([0, 0, 1, 1], [1, 1, 0, 0]):
        measured = measure(log_probs, np.array(labels))

        assert measured.aurc == 0.5
        assert measured.adaptive_ece == pytest.approx(0.25)
        assert measured.selective_accuracies == (0.5, 0.5, 0.5, 0.5)


def test_an_interval_is_as_wide_as_the_normal_one_where_there_are_many_examples() -> None:
    values = np.random.default_rng(0).normal(size=4000)

    found = interval(values, seed=1)

    width = 2 * 1.96 * values.std() / np.sqrt(4000)
    assert found.mean == values.mean()
    assert found.high - found.low == pytest.approx(width, rel=0.05)
    assert found == interval(values, seed=1)


def test_an_interval_of_an_accuracy_is_of_the_right_ones() -> None:
    log_probs, labels = predictions(0)

    found = interval(are_right(log_probs, labels), seed=0)

    assert found.mean == measure(log_probs, labels).accuracy
    assert found.low < found.mean < found.high


def test_a_paired_difference_is_not_blurred_by_how_hard_examples_are() -> None:
    log_probs, labels = predictions(0)
    first = nlls(log_probs, labels)

    found = interval_of_difference(first, first - 0.01, seed=0)

    assert (found.low, found.mean, found.high) == pytest.approx((0.01, 0.01, 0.01))


def test_values_of_other_examples_are_not_compared() -> None:
    with pytest.raises(EnsembleError, match="but there are 2 and 3"):
        interval_of_difference(np.zeros(2), np.zeros(3), seed=0)


def test_an_infinite_value_has_no_interval() -> None:
    with pytest.raises(EnsembleError, match="of 2 are 1 not"):
        interval(np.array([np.inf, 0.0]), seed=0)
