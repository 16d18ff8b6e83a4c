"""Patch whitening against numpy's covariance and numbers worked by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from hpo.training.examples import TrainingData
from hpo.training.initializers import Lsuv
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Resnet9
from hpo.training.models.whitening import EPS, PatchWhitening
from hpo.training.program import initial_module, initial_state
from hpo.training.recipe import Recipe
from hpo.training.seeds import make_generator
from hpo.training.solo import Solo


def images(num_images: int = 200, num_channels: int = 2, size: int = 8) -> torch.Tensor:
    """Smooth, as images are, and of a mean that is not 0."""
    noise = torch.randn(num_images, num_channels, size + 2, size + 2, generator=make_generator(0))
    return 3 * nn.functional.avg_pool2d(noise, 3, stride=1) + 2


def make_data() -> TrainingData:
    x, y = images(64), torch.arange(64) % 4
    return TrainingData(train_x=x[:48], train_y=y[:48], validation_x=x[48:], validation_y=y[48:], num_classes=4)


def by_patch(outputs: torch.Tensor) -> np.ndarray:
    """[B, K, H, W] -> [patches, K]."""
    return outputs.movedim(1, -1).flatten(0, 2).double().numpy()


@pytest.mark.parametrize("size", [2, 3])
def test_whitened_patches_have_mean_0_and_the_identity_for_covariance(size: int) -> None:
    layer, x = PatchWhitening(2, size), images()
    layer.fit(x)

    outputs = layer(x)[:, :, size - 2 : 8 - (size - 2), size - 2 : 8 - (size - 2)]  # without what padding touches

    half = by_patch(outputs)[:, : 2 * size * size]
    variances = np.linalg.eigvalsh(np.cov(by_patch(nn.functional.unfold(x, size).unflatten(2, (9 - size, -1))).T))[::-1]
    np.testing.assert_allclose(half.mean(0), 0, atol=1e-2)
    np.testing.assert_allclose(np.cov(half.T), np.diag(variances / (variances + EPS)), atol=1e-3)
    assert variances.min() > 20 * EPS


def test_the_second_half_of_the_filters_is_the_first_with_the_sign_changed() -> None:
    layer, x = PatchWhitening(2, 2), images()
    layer.fit(x)

    first, second = layer(x).chunk(2, dim=1)

    assert first.shape == (200, 8, 7, 7)
    torch.testing.assert_close(second, -first)


def test_filters_of_a_hand_worked_example() -> None:
    """Images of one number each: all variance lies in the mean of the four pixels."""
    x = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    layer = PatchWhitening(1, 2)
    layer.fit(x)

    largest = layer.weight[0].abs()

    expected = 0.5 / (4 * 2 + EPS) ** 0.5  # the covariance is 2 everywhere: eigenvalue 8, vector 1/2 everywhere
    assert largest.flatten().tolist() == pytest.approx([expected] * 4)


def test_what_never_varies_stays_finite() -> None:
    layer = PatchWhitening(1, 3)
    layer.fit(torch.full((5, 1, 6, 6), 7.0))

    assert layer(torch.full((5, 1, 6, 6), 7.0))[:, :, 1:-1, 1:-1].abs().max().item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    "model", [Cnn(channels=(4, 6), hidden=8, whiten_patches=3), Resnet9(width=2, whiten_patches=3)]
)
def test_filters_come_from_the_training_images_and_are_not_trained(model: Cnn | Resnet9) -> None:
    data, recipe = make_data(), Recipe(model=model, batch_size=16, ema_half_life=1.0)
    expected = PatchWhitening(2, 3)
    expected.fit(data.train_x)
    solo = Solo(recipe, data, Luck(0, 0), initial_state(recipe, data, 0, 0))

    solo.train_epoch(1)

    state = solo.state(0, 1)
    for tensors in (state.module, state.averaged):
        torch.testing.assert_close(tensors["0.weight"], expected.weight)
        torch.testing.assert_close(tensors["0.bias"], expected.bias)
    assert not any(key.partition(".")[2].startswith("0.") for key in state.optimizer)


def test_weights_that_look_at_the_data_see_whitened_ones() -> None:
    data = make_data()
    recipe = Recipe(model=Cnn(channels=(4,), hidden=8, whiten_patches=2), initializer=Lsuv(num_examples=48))

    module = initial_module(recipe, data, 0, 0)

    first_convolution = nn.Sequential(*list(module.children())[:3])
    assert first_convolution(data.train_x).var().item() == pytest.approx(1.0, rel=1e-3)


def test_patches_of_two_pixels_need_one_more_pixel() -> None:
    with pytest.raises(ValueError, match="needs images .* of at least 9 x 9, but the data have shape"):
        Resnet9(whiten_patches=2).build((1, 8, 8), 10)
    with pytest.raises(ValueError, match="needs images .* of at least 5 x 5, but the data have shape"):
        Cnn(whiten_patches=2).build((1, 4, 4), 10)
    assert Cnn(whiten_patches=2).build((1, 5, 5), 10)(torch.zeros(2, 1, 5, 5)).shape == (2, 10)
