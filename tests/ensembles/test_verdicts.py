"""Verdicts over other examples, and over other seeds."""

import numpy as np
import pytest
from scipy import stats

from hpo.ensembles import calibrated_nll, difference, interval, interval_over_seeds, nlls, verdict, verdict_over_seeds
from hpo.errors import EnsembleError

LABELS = np.array([0, 1, 1, 0, 2])


def predictions(seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(5, 3))
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def test_an_interval_over_seeds_is_students() -> None:
    found = interval_over_seeds([0.90, 0.92, 0.94])

    # by hand: mean 0.92, deviation 0.02, and 4.302653 is the 97.5 % quantile of two degrees of freedom
    assert found.mean == pytest.approx(0.92)
    assert found.high - found.mean == pytest.approx(4.302653 * 0.02 / np.sqrt(3), rel=1e-6)
    low, high = stats.t.interval(0.95, 2, loc=0.92, scale=stats.sem([0.90, 0.92, 0.94]))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_nothing_is_known_of_other_seeds_by_one() -> None:
    with pytest.raises(EnsembleError, match="needs two or more, but there are 1"):
        interval_over_seeds([0.9])


def test_networks_of_several_seeds_are_measured_each_by_itself() -> None:
    both = np.stack([predictions(0), predictions(1)])

    found = verdict_over_seeds(both, LABELS, seed=3)

    own = [-np.log(np.exp(each)[np.arange(5), LABELS]).mean() for each in both]
    assert found.measures.nll == pytest.approx(np.mean(own))
    assert found.nll.mean == pytest.approx(np.mean(own))
    assert found.calibrated_nll == pytest.approx(np.mean([calibrated_nll(each, LABELS, 3) for each in both]))
    hits = [(each.argmax(1) == LABELS).mean() for each in both]
    assert found.measures.accuracy == pytest.approx(np.mean(hits))
    recalls = [[(each.argmax(1) == LABELS)[label == LABELS].mean() for label in range(3)] for each in both]
    assert found.measures.recalls == pytest.approx(np.mean(recalls, axis=0))


def test_a_verdict_bounds_what_it_measures_by_the_bootstrap() -> None:
    found = verdict(predictions(0), LABELS, seed=3)

    assert found.nll == interval(nlls(predictions(0), LABELS), 3)
    assert found.accuracy.mean == found.measures.accuracy
    assert found.nll.low < found.measures.nll < found.nll.high


def test_a_difference_is_paired_and_the_first_less_the_second() -> None:
    surer = np.log(np.full((5, 3), 0.1) + 0.7 * np.eye(3)[LABELS])
    less_sure = np.log(np.full((5, 3), 0.2) + 0.4 * np.eye(3)[LABELS])

    found = difference(surer, less_sure, LABELS, seed=0)

    assert (found.nll.low, found.nll.mean, found.nll.high) == pytest.approx((np.log(0.6 / 0.8),) * 3)
    assert (found.accuracy.low, found.accuracy.high) == (0, 0)


def test_a_difference_in_accuracy_is_above_0_where_the_first_is_right_more_often() -> None:
    right, wrong = (np.log(np.full((5, 3), 0.1) + 0.7 * np.eye(3)[labels]) for labels in (LABELS, (LABELS + 1) % 3))

    found = difference(right, wrong, LABELS, seed=0)

    assert (found.accuracy.low, found.accuracy.mean, found.accuracy.high) == (1, 1, 1)
