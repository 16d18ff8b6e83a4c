"""Small convolutional networks."""

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, PER_LANE_UNLESS_0, Config
from hpo.training.models.layers import Activation, Dropout, make_activation, require_images
from hpo.training.models.norms import GhostBatch, GroupSize, ImageNorm, NormMomentum, NormPosition, image_norm
from hpo.training.models.whitening import PatchSize, whiten


class Cnn(Config):
    """Blocks of 3x3 convolution, 2x2 max-pooling, norm and activation, then a dense head.

    Pooling comes before norm and activation: a quarter of the work, and the same maximum for a monotone
    activation (Page 2018, "How to train your ResNet").
    """

    kind: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 32)
    """Output channels of each block; each block halves height and width."""
    whiten_patches: PatchSize = 0
    """Side of the patches that a first convolution whitens, never trained (Page 2019); 0: there is none."""
    hidden: Annotated[int, Field(ge=1)] = 128
    """Width of the dense layer before the output."""
    activation: Activation = "relu"
    """After every block and the dense layer."""
    leaky_slope: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.01
    """Of leaky_relu below 0."""
    norm: ImageNorm = "batch"
    """Of every block; layer norm is over all channels and pixels, with a scale and shift for each channel."""
    norm_position: NormPosition = "before"
    """Of the norm, as seen from the activation."""
    norm_momentum: NormMomentum = 0.1
    """Share of each batch in batch norm's running statistics, as torch's `momentum`."""
    ghost_batch: GhostBatch = 0
    """Examples that batch norm takes statistics of, if fewer than a batch (Hoffer et al. 2017); 0: the batch."""
    group_size: GroupSize = 8
    """Channels that group norm treats together."""
    spatial_dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate at which channels are dropped after every block (Tompson et al. 2015)."""
    dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate before the output layer, after every norm."""

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """A network from [B, channels, height, width] to logits [B, num_classes].

        Raises:
            ValueError: if the input is no image or too small for so many blocks, or a norm does not fit.
        """
        num_blocks = len(self.channels)
        least = 2**num_blocks + (self.whiten_patches == 2)
        require_images(f"cnn with {num_blocks} blocks", input_shape, least, "Use fewer channels, or an mlp.")
        layers, (width, *height_width) = whiten(input_shape, self.whiten_patches, self._activation())
        for channels in self.channels:
            height_width = [size // 2 for size in height_width]
            layers += self._block(width, channels, num_pixels=math.prod(height_width))
            width = channels
        layers += [nn.Flatten(), nn.Linear(width * math.prod(height_width), self.hidden), self._activation()]
        if self.dropout > 0:
            layers.append(Dropout(self.dropout))
        return nn.Sequential(*layers, nn.Linear(self.hidden, num_classes))

    def _block(self, width: int, channels: int, num_pixels: int) -> list[nn.Module]:
        """From [B, width, ...] to [B, channels, ...] of `num_pixels`; no bias where the norm would take it away."""
        if self.norm == "instance" and num_pixels == 1:
            raise ValueError(
                "instance norm needs more than one pixel, but the last block leaves one. "
                "Use fewer channels, or another model.norm."
            )
        is_before = self.norm_position == "before"
        is_centred = self.norm in ("batch", "instance") and is_before
        norm = image_norm(
            self.norm,
            channels,
            momentum=self.norm_momentum,
            ghost_batch=self.ghost_batch,
            group_size=self.group_size,
        )
        return [
            nn.Conv2d(width, channels, 3, padding=1, bias=not is_centred),
            nn.MaxPool2d(2),
            *([*norm, self._activation()] if is_before else [self._activation(), *norm]),
            *([Dropout(self.spatial_dropout, num_axes=2)] if self.spatial_dropout > 0 else []),
        ]

    def _activation(self) -> nn.Module:
        return make_activation(self.activation, self.leaky_slope)
