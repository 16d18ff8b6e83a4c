import numpy as np
import pytest

from hpo.ensembles import nlls, pool, tempered
from hpo.errors import EnsembleError
from tests.ensembles.members import random_members

HALF = np.log([[[0.5, 0.5]], [[0.9, 0.1]]])


def test_pooled_probabilities_are_the_weighted_mean() -> None:
    pooled = pool(HALF, np.array([0.25, 0.75]))

    assert np.exp(pooled) == pytest.approx(np.array([[0.8, 0.2]]))  # 0.25 * 0.5 + 0.75 * 0.9


def test_a_member_without_weight_is_never_looked_at() -> None:
    members = np.concatenate([HALF, np.full((1, 1, 2), np.nan)])

    assert np.array_equal(pool(members, np.array([0.5, 0.5, 0])), pool(HALF, np.array([0.5, 0.5])))


def test_predictions_kept_in_float16_are_normalized_in_float64() -> None:
    members, _ = random_members(seed=0)

    pooled = pool(members.astype(np.float16), np.full(4, 0.25))

    assert pooled.dtype == np.float64
    assert np.exp(pooled).sum(1) == pytest.approx(1, abs=1e-12)
    assert pooled == pytest.approx(pool(members, np.full(4, 0.25)), abs=5e-3)


def test_probability_0_of_one_member_is_no_veto() -> None:
    members = np.array([[[0.0, -np.inf]], np.log([[0.5, 0.5]])])

    assert np.exp(pool(members, np.array([0.5, 0.5]))) == pytest.approx(np.array([[0.75, 0.25]]))


def test_probabilities_too_small_for_a_float_are_still_pooled() -> None:
    members = np.array([[[0.0, -2000.0]], [[0.0, -3000.0]]])

    assert pool(members, np.array([0.5, 0.5]))[0, 1] == pytest.approx(-2000 - np.log(2))


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [1.0], [np.nan, 1.0]])
def test_weights_off_the_simplex_are_refused(weights: list[float]) -> None:
    with pytest.raises(EnsembleError, match="Weights must be at least 0 and sum to 1, one for each of 2 members"):
        pool(HALF, np.array(weights))


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_a_member_that_predicts_no_numbers_is_refused(bad: list[float]) -> None:
    with pytest.raises(EnsembleError, match="but member 1 has a row that is not finite"):
        pool(np.array([[[0.0, 0.0]], [bad]]), np.array([0.5, 0.5]))


def test_a_temperature_divides_logits() -> None:
    flat, same = tempered(HALF[1], 2.0), tempered(HALF[1], 1.0)

    assert np.exp(flat) == pytest.approx(np.array([[0.75, 0.25]]))  # roots of 0.9 and 0.1 are as 3 to 1
    assert same == pytest.approx(HALF[1])


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_must_be_above_0(temperature: float) -> None:
    with pytest.raises(EnsembleError, match=f"must be above 0 and finite, but is {temperature}"):
        tempered(HALF[1], temperature)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "got 1 predictions, and labels \\[2\\]"),
        ([2], "Labels must be classes from 0 to 1, as many as are predicted, but go from 2 to 2"),
        ([-1], "but go from -1 to -1"),
    ],
)
def test_labels_of_other_data_are_refused(labels: list[int], message: str) -> None:
    with pytest.raises(EnsembleError, match=message):
        nlls(HALF[0], np.array(labels))
