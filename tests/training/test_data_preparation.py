from collections import Counter
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler

from hpo.errors import DataError
from hpo.training.data import Digits, Examples, Splits
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import split


def correlated(num_examples: int = 200, shape: tuple[int, ...] = (6,)) -> Examples:
    """Features that depend on each other, of different means and scales, with a label for the sign of the first."""
    rng = np.random.default_rng(0)
    num_features = int(np.prod(shape))
    x = rng.normal(size=(num_examples, num_features)) @ rng.normal(size=(num_features, num_features)) + 3
    return Examples(x.reshape(num_examples, *shape).astype(np.float32), (x[:, 0] > 3).astype(np.int64))


def rare(sizes: tuple[int, ...] = (70, 25, 5)) -> Examples:
    y = np.repeat(np.arange(len(sizes)), sizes)
    return Examples(np.arange(len(y), dtype=np.float32)[:, None], y.astype(np.int64))


def prepare(examples: Examples, options: DataOptions, test: float | Examples = 0.2) -> Splits:
    return split(examples, validation=0.2, test=test, seed=0, options=options)


def undo(splits: Splits, x: np.ndarray) -> np.ndarray:
    return np.asarray(x * splits.normalization.std + splits.normalization.mean)


def test_a_fraction_shortens_the_training_split_alone() -> None:
    whole, half = (prepare(correlated(), DataOptions(fraction=share)) for share in (1.0, 0.5))

    assert (len(whole.train), len(half.train)) == (120, 60)
    assert half.validation.y.tolist() == whole.validation.y.tolist()
    assert half.test is not None
    assert whole.test is not None
    assert half.test.x.tolist() == whole.test.x.tolist()
    assert half.digest != whole.digest


def test_a_smaller_fraction_is_part_of_a_larger_one() -> None:
    splits = [prepare(correlated(), DataOptions(fraction=share, input_norm="none")) for share in (0.2, 0.6)]

    small, large = ({row.tobytes() for row in part.train.x} for part in splits)
    assert small < large


def test_a_fraction_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="the training split must hold at least one example, but 200 are too few"):
        prepare(correlated(), DataOptions(fraction=0.001))


def test_stratified_splits_hold_every_class_in_its_share() -> None:
    splits = prepare(rare((140, 50, 10)), DataOptions(stratify=True, fraction=0.5))

    assert splits.test is not None
    parts = [splits.test, splits.validation, splits.train]
    for part, expected in zip(parts, [(28, 10, 2), (28, 10, 2), (42, 15, 3)], strict=True):
        counts = Counter(part.y.tolist())
        assert all(abs(counts[number] - count) <= 1 for number, count in enumerate(expected))


def test_stratified_splits_still_go_by_the_seed() -> None:
    options = DataOptions(stratify=True, input_norm="none")
    first, other = (split(rare(), validation=0.2, test=0.0, seed=seed, options=options) for seed in (0, 1))

    assert sorted(first.validation.x.ravel().tolist()) != sorted(other.validation.x.ravel().tolist())


def test_minmax_is_scikit_learns_by_feature() -> None:
    splits = prepare(correlated(), DataOptions(input_norm="minmax"))

    scaler = MinMaxScaler().fit(undo(splits, splits.train.x))
    np.testing.assert_allclose(splits.train.x, scaler.transform(undo(splits, splits.train.x)), atol=1e-6)
    np.testing.assert_allclose(splits.validation.x, scaler.transform(undo(splits, splits.validation.x)), atol=1e-6)
    assert (splits.train.x.min(), splits.train.x.max()) == (0, pytest.approx(1))


def test_minmax_of_images_is_by_channel_and_a_constant_channel_becomes_0() -> None:
    x = np.random.default_rng(0).normal(5, 3, (40, 2, 4, 4)).astype(np.float32)
    x[:, 1] = 7

    splits = prepare(Examples(x, np.arange(40) % 2), DataOptions(input_norm="minmax"))

    assert splits.train.x[:, 0].min() == 0
    assert splits.train.x[:, 0].max() == 1
    assert not splits.train.x[:, 1].any()


def test_inputs_may_stay_as_they_came() -> None:
    examples = correlated()

    splits = prepare(examples, DataOptions(input_norm="none"))

    rows = {row.tobytes() for row in examples.x}
    assert {row.tobytes() for part in (splits.train, splits.validation) for row in part.x} < rows


@pytest.mark.parametrize("input_norm", ["standardize", "none"])
def test_pca_is_scikit_learns_up_to_signs(input_norm: Literal["standardize", "none"]) -> None:
    scaled = prepare(correlated(), DataOptions(input_norm=input_norm))
    theirs = PCA(n_components=4, whiten=True, svd_solver="full").fit(scaled.train.x.astype(np.float64))

    ours = prepare(correlated(), DataOptions(input_norm=input_norm, whiten="pca", pca_dim=4, whiten_eps=1e-12))

    for part, before in ((ours.train, scaled.train), (ours.validation, scaled.validation)):
        np.testing.assert_allclose(np.abs(part.x), np.abs(theirs.transform(before.x)), atol=2e-4)
    assert (ours.input_shape, ours.raw_shape) == ((4,), (6,))


@pytest.mark.parametrize("whiten", ["pca", "zca"])
def test_whitened_features_have_variance_1_and_no_correlation_in_the_training_split(
    whiten: Literal["pca", "zca"],
) -> None:
    splits = prepare(correlated(400, shape=(2, 2, 3)), DataOptions(whiten=whiten, whiten_eps=1e-9))

    flat = splits.train.x.reshape(len(splits.train), -1)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(12), atol=2e-3)
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-3)
    assert abs(np.cov(splits.validation.x.reshape(len(splits.validation), -1).T) - np.eye(12)).max() > 0.05


def test_zca_is_the_symmetric_root_of_the_inverse_covariance() -> None:
    scaled = prepare(correlated(), DataOptions())
    covariance = np.cov(scaled.train.x.T.astype(np.float64)) + 0.1 * np.eye(6)

    whitening = prepare(correlated(), DataOptions(whiten="zca", whiten_eps=0.1)).normalization.whitening

    assert whitening is not None
    matrix = whitening.matrix.astype(np.float64)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_allclose(matrix @ matrix @ covariance, np.eye(6), atol=1e-4)


def test_zca_keeps_images_images_and_what_never_varies_stays_finite() -> None:
    splits = Digits(whiten="zca").load(0)  # the corners of digits are always blank

    assert (splits.input_shape, splits.raw_shape) == ((1, 8, 8), (1, 8, 8))
    assert np.isfinite(splits.train.x).all()
    assert abs(splits.validation.x).max() < 100


@pytest.mark.parametrize("size", [5, 12])
def test_images_are_resized_as_pillow_resizes_them(size: int) -> None:
    examples = correlated(20, shape=(2, 8, 9))

    splits = prepare(examples, DataOptions(image_size=size, input_norm="none"), test=0.0)

    theirs = [
        [np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BILINEAR)) for channel in image]
        for image in examples.x
    ]
    ours = np.concatenate([splits.train.x, splits.validation.x])
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(np.stack(theirs), axis=0), atol=1e-4)
    assert (splits.input_shape, splits.raw_shape) == ((2, size, size), (2, 8, 9))


def test_resized_images_are_normalised_and_whitened_afterwards() -> None:
    scaled, whitened = (
        prepare(correlated(300, shape=(1, 6, 6)), DataOptions.model_validate({"image_size": 3, "whiten": whiten}))
        for whiten in ("none", "pca")
    )

    assert scaled.train.x.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.train.x.std() == pytest.approx(1, abs=1e-5)
    assert (whitened.input_shape, whitened.raw_shape) == ((9,), (1, 6, 6))


def test_rows_cannot_be_resized_and_images_of_that_size_need_not_be() -> None:
    with pytest.raises(DataError, match=r"data.image_size needs images .* but the data have shape \[6\]"):
        prepare(correlated(), DataOptions(image_size=4))
    with pytest.raises(DataError, match="data.image_size has no effect, because images are 8 x 8 already"):
        Digits(image_size=8).load(0)


def test_more_components_than_features_are_refused() -> None:
    with pytest.raises(DataError, match="data.pca_dim must be at most the 6 features, but is 7"):
        prepare(correlated(), DataOptions(whiten="pca", pca_dim=7))


def test_settings_of_whitening_without_whitening_are_refused() -> None:
    with pytest.raises(ValidationError, match="pca_dim has no effect with whiten: zca"):
        DataOptions(whiten="zca", pca_dim=3)
    with pytest.raises(ValidationError, match="whiten_eps has no effect with whiten: none"):
        Digits(whiten_eps=0.1)


def test_a_class_that_only_the_test_set_has_is_counted() -> None:
    examples, test = rare((20, 20)), rare((3, 3, 3))

    splits = prepare(examples, DataOptions(), test)

    assert splits.num_classes == 3


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 3)), [0, 1], r"test set: inputs must have the shape of the others, \[1\], but have \[3\]"),
        (np.full((2, 1), np.inf), [0, 1], "test set: x must be finite"),
        (np.zeros((2, 1)), [0, -1], "test set: labels must be class indices from 0"),
        (np.zeros((0, 1)), [], "test set: there must be examples"),
    ],
)
def test_a_test_set_that_does_not_fit_is_refused(x: np.ndarray, y: list[int], message: str) -> None:
    test = Examples(x.astype(np.float32), np.array(y, np.int64))

    with pytest.raises(DataError, match=message):
        prepare(rare((20, 20)), DataOptions(), test)
