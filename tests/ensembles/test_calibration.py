import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from hpo.ensembles import calibrate, calibrated_nll, measure, nlls, tempered
from hpo.ensembles.calibration import fit_temperature
from hpo.ensembles.folds import stratified_folds, stratified_part
from hpo.errors import EnsembleError
from tests.ensembles.members import Array, Labels, log_of, random_members


def calibrated_data(seed: int, num_examples: int) -> tuple[Array, Labels]:
    """Predictions, and labels drawn from them."""
    generator = np.random.default_rng(seed)
    log_probs = log_of(2 * generator.normal(size=(num_examples, 4)))
    labels = (generator.random((num_examples, 1)) > np.exp(log_probs).cumsum(1)).sum(1)
    return log_probs, labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_is_where_scipy_finds_the_slope_to_be_0(seed: int, scale: float) -> None:
    (log_probs,), labels = random_members(seed, num_members=1, num_examples=200)
    log_probs = log_of(scale * log_probs)

    found = fit_temperature(log_probs, labels)

    def slope(inverse: float) -> float:
        """Of torch's cross-entropy, by the inverse of the temperature."""
        factor = torch.tensor(inverse, requires_grad=True, dtype=torch.float64)
        torch.nn.functional.cross_entropy(factor * torch.tensor(log_probs), torch.tensor(labels)).backward()
        assert factor.grad is not None
        return float(factor.grad)

    assert found == pytest.approx(1 / brentq(slope, 0.01, 100), rel=1e-5)


def test_calibrated_predictions_have_a_temperature_near_1() -> None:
    log_probs, labels = calibrated_data(seed=0, num_examples=5000)

    assert calibrate(log_probs, labels, seed=0).fitted == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_predictions_that_are_too_sure_or_not_enough_are_mended(factor: float) -> None:
    log_probs, labels = calibrated_data(seed=1, num_examples=3000)
    wrong = log_of(factor * log_probs)

    found = calibrate(wrong, labels, seed=0)

    assert found.temperature == found.fitted == pytest.approx(factor, rel=0.1)
    assert found.nll_before == pytest.approx(nlls(wrong, labels).mean())
    assert found.nll_after == pytest.approx(nlls(log_probs, labels).mean(), abs=2e-3)
    assert measure(tempered(wrong, found.temperature), labels).ece < 0.5 * measure(wrong, labels).ece


def test_a_temperature_is_kept_where_it_gains_more_than_a_standard_error_on_other_folds() -> None:
    kept = []
    for seed in range(10):
        log_probs, labels = calibrated_data(seed, num_examples=60)
        wrong = log_of(1.5 * log_probs)

        found = calibrate(wrong, labels, seed=0)

        after = held_out(wrong, labels, seed=0)
        gains = nlls(wrong, labels) - after
        kept.append(gains.mean() > gains.std() / np.sqrt(60))
        assert (found.temperature != 1.0) == kept[-1]
        assert found.nll_after == pytest.approx(after.mean())
        assert abs(found.fitted - 1) > 1e-3
    assert 0 < sum(kept) < 10


def held_out(log_probs: Array, labels: Labels, seed: int) -> Array:
    """Of each example, by the temperature that the other folds ask for."""
    folds, after = stratified_folds(labels, 5, seed), np.empty(len(labels))
    for fold in range(5):
        temperature = fit_temperature(log_probs[folds != fold], labels[folds != fold])
        after[folds == fold] = nlls(tempered(log_probs[folds == fold], temperature), labels[folds == fold])
    return after


def test_the_number_after_is_of_folds_that_the_temperature_was_not_fitted_on() -> None:
    log_probs, labels = calibrated_data(seed=2, num_examples=50)

    found = calibrate(log_probs, labels, seed=7)

    assert found.nll_after == pytest.approx(held_out(log_probs, labels, seed=7).mean())
    assert found.nll_after > nlls(tempered(log_probs, found.fitted), labels).mean()


def test_a_temperature_stays_within_bounds_where_none_is_best() -> None:
    sure = np.log([[0.9, 0.1]] * 10)

    assert 0.01 <= fit_temperature(sure, np.zeros(10, int)) < 0.1  # from where on the NLL is 0 in float64
    assert fit_temperature(sure, np.ones(10, int)) == pytest.approx(100, rel=1e-3)


def test_predictions_that_rule_out_what_is_true_have_no_temperature() -> None:
    with pytest.raises(EnsembleError, match="finite predictions that never rule out what is true"):
        fit_temperature(np.array([[0.0, -np.inf], [0.0, -1.0]]), np.array([1, 0]))


@pytest.mark.parametrize("seed", range(5))
def test_folds_differ_by_one_example_at_most_and_so_do_their_classes(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(4, size=103)

    folds = stratified_folds(labels, 5, seed)

    for chosen in (np.ones(103, bool), *(labels == label for label in range(4))):
        sizes = np.bincount(folds[chosen], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert np.array_equal(folds, stratified_folds(labels, 5, seed))
    assert not np.array_equal(folds, stratified_folds(labels, 5, seed + 1))


@pytest.mark.parametrize("seed", range(5))
def test_a_part_has_its_share_of_every_class(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(7, size=103)

    part = stratified_part(labels, 0.3, seed)

    assert part.sum() == 30
    for label in range(7):
        assert abs(part[labels == label].sum() - 0.3 * (labels == label).sum()) < 1
    assert not np.array_equal(part, stratified_part(labels, 0.3, seed + 1))


def test_more_folds_than_examples_are_refused() -> None:
    with pytest.raises(EnsembleError, match="but 3 examples are to be in 4"):
        stratified_folds(np.array([0, 1, 2]), 4, seed=0)


def test_a_calibrated_nll_is_that_of_the_best_temperatures_of_other_folds() -> None:
    log_probs, labels = calibrated_data(0, 80)
    folds = stratified_folds(labels, 5, seed=3)
    grid = np.geomspace(0.2, 5, 4001)

    unseen = []
    for fold in range(5):
        rows = np.arange(80)[folds != fold]
        costs = [-log_of(3 * log_probs[rows] / t)[np.arange(len(rows)), labels[rows]].mean() for t in grid]
        rows, best = np.arange(80)[folds == fold], grid[np.argmin(costs)]
        unseen.extend(-log_of(3 * log_probs[rows] / best)[np.arange(len(rows)), labels[rows]])

    assert calibrated_nll(3 * log_probs, labels, seed=3) == pytest.approx(np.mean(unseen), abs=1e-4)


def test_how_sure_a_predictor_is_changes_no_calibrated_nll_and_none_is_of_what_rules_out_the_truth() -> None:
    log_probs, labels = calibrated_data(1, 200)

    with np.errstate(divide="ignore"):
        ruled_out = np.log(np.eye(4)[(labels + 1) % 4])
    sure, unsure = (calibrated_nll(log_of(factor * log_probs), labels, seed=0) for factor in (3.0, 0.5))

    assert sure == pytest.approx(unsure, abs=1e-6)
    assert calibrated_nll(ruled_out, labels, seed=0) is None
    assert calibrated_nll(log_probs[:1], labels[:1], seed=0) is None
