"""A first convolution that whitens patches of images."""

from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional

PatchSize = Literal[0, 2, 3]

EPS = 5e-4
"""Added to every variance, so that what hardly varies is not blown up; as Jordan's, for inputs of variance 1."""
NUM_IMAGES = 256
"""Whose patches the filters are taken from: the first of the training split, which is shuffled."""


class PatchWhitening(nn.Module):
    """Projects patches on the eigenvectors of their covariance, scaled to variance 1, and on their opposites.

    With both signs, no activation behind it loses anything. The filters are buffers, set from training images and never
    trained (Page 2019, "How to train your ResNet 8"; Jordan 2024, section 3.2; there patches are not centred).
    """

    stride: ClassVar[tuple[int, int]] = (1, 1)
    dilation: ClassVar[tuple[int, int]] = (1, 1)
    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, num_channels: int, size: int) -> None:
        """Filters of 0 for patches of size 2, without padding, or of size 3, with zeros around the image."""
        super().__init__()
        num_filters = 2 * num_channels * size * size
        self.register_buffer("weight", torch.zeros(num_filters, num_channels, size, size))
        self.register_buffer("bias", torch.zeros(num_filters))
        self.padding = ((size - 1) // 2,) * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W] -> [B, 2 C size^2, ...], larger components first, then the opposites of all."""
        return functional.conv2d(x, self.weight, self.bias, padding=self.padding)

    def fit(self, images: torch.Tensor) -> None:
        """Set the filters by images [n, C, H, W]."""
        size = self.weight.shape[-1]
        patches = functional.unfold(images[:NUM_IMAGES].to(self.weight), size).transpose(1, 2).flatten(0, 1).double()
        variances, vectors = torch.linalg.eigh(patches.T.cov())
        rows = (vectors / (variances.clamp(min=0) + EPS).sqrt()).T.flip(0)
        shift = -rows @ patches.mean(0)
        self.weight.copy_(torch.cat([rows, -rows]).view_as(self.weight))
        self.bias.copy_(torch.cat([shift, -shift]))


def whiten(
    input_shape: tuple[int, ...], size: PatchSize, activation: nn.Module
) -> tuple[list[nn.Module], tuple[int, ...]]:
    """The layers that whiten patches of this size, none for 0; and the shape of an image behind them."""
    num_channels, height, width = input_shape
    if size == 0:
        return [], input_shape
    lost = size - 1 - 2 * ((size - 1) // 2)
    shape = (2 * num_channels * size * size, height - lost, width - lost)
    return [PatchWhitening(num_channels, size), activation], shape


def fit_whitening(module: nn.Module, images: torch.Tensor) -> None:
    """Set the filters of a network that whitens patches; any other stays as it is."""
    for layer in module.modules():
        if isinstance(layer, PatchWhitening):
            layer.fit(images)
