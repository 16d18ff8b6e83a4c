"""Images made worse, against scipy's own filters and numbers worked by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from hpo.training.corruptions import AMOUNTS, Corruption, Kind, blurred, corruptions


def images(num: int = 3, size: int = 12) -> np.ndarray:
    """Between 0 and 16, both there."""
    x = ndimage.gaussian_filter(np.random.default_rng(0).random((num, 2, size, size)), (0, 0, 1, 1))
    return np.asarray(16 * (x - x.min()) / (x.max() - x.min()), np.float32)


@pytest.mark.parametrize("deviation", AMOUNTS["blur"])
def test_blur_is_scipys_gaussian_filter(deviation: float) -> None:
    x = images()

    expected = ndimage.gaussian_filter(x.astype(np.float64), (0, 0, deviation, deviation), mode="nearest", truncate=6)
    assert blurred(torch.from_numpy(x), deviation).numpy() == pytest.approx(expected, abs=16 * 2e-4)


def test_contrast_shrinks_towards_the_mean_of_each_channel() -> None:
    x = images()

    worse = Corruption(kind="contrast", severity=3)(x, seed=0)

    for image, made in zip(x.reshape(6, -1), worse.reshape(6, -1), strict=True):
        assert made == pytest.approx(image.mean() + 0.4 * (image - image.mean()), abs=1e-4)


def test_noise_has_its_share_of_the_range_and_is_the_same_at_every_severity() -> None:
    x = np.full((4, 1, 50, 50), 8, np.float32)
    x[0, 0, 0, :2] = 0, 16

    mild, severe = (Corruption(kind="noise", severity=severity)(x, seed=3) - x for severity in (1, 5))

    inside = np.s_[1:]
    assert mild[inside].std() == pytest.approx(0.04 * 16, rel=0.03)
    assert severe[inside] == pytest.approx(mild[inside] * 0.10 / 0.04, abs=1e-4)
    assert not np.array_equal(Corruption(kind="noise", severity=1)(x, seed=4) - x, mild)


def test_rotation_turns_counter_clockwise_by_its_degrees_about_the_centre() -> None:
    x = np.zeros((1, 1, 41, 41), np.float32)
    down, right = np.mgrid[-20:21, -20:21]
    x[0, 0] = np.exp(-((right - 10) ** 2 + down**2) / 8)

    turned = Corruption(kind="rotation", severity=5)(x, seed=0)[0, 0]

    centre = np.array([(turned * right).sum(), -(turned * down).sum()]) / turned.sum()
    assert centre == pytest.approx([10 * np.cos(np.pi / 6), 10 * np.sin(np.pi / 6)], abs=0.05)


@pytest.mark.parametrize("kind", list(AMOUNTS))
def test_what_is_made_stays_in_the_range_that_there_was(kind: Kind) -> None:
    x = images()

    worse = Corruption(kind=kind, severity=5)(x, seed=0)

    assert worse.shape == x.shape
    assert worse.dtype == np.float32
    assert 0 <= worse.min() < worse.max() <= 16
    assert not np.array_equal(worse, x)


def test_what_is_no_image_gets_noise_alone_within_the_range_of_each_feature() -> None:
    x = np.random.default_rng(0).random((2000, 3)).astype(np.float32) * np.array([1, 100, 0], np.float32)

    worse = Corruption(kind="noise", severity=1)(x, seed=0)

    assert {each.kind for each in corruptions((3,))} == {"noise"}
    assert len(corruptions((1, 8, 8))) == 20
    inner = (x > 0.2 * x.max(0)) & (x < 0.8 * x.max(0))
    first, second = ((worse - x)[inner[:, column], column].std() for column in (0, 1))
    assert (first, second) == pytest.approx((0.04, 4.0), rel=0.08)


def test_a_feature_that_is_always_the_same_stays_so() -> None:
    x = np.full((50, 2), 3, np.float32)

    assert np.array_equal(Corruption(kind="noise", severity=5)(x, seed=0), x)
