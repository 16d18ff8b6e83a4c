"""Residual networks for small images."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, PER_LANE_UNLESS_0, Config
from hpo.training.models.layers import Activation, Dropout, Residual, Scale, make_activation, require_images
from hpo.training.models.norms import GhostBatch, GroupSize, NormMomentum, image_norm, start_at_zero
from hpo.training.models.whitening import PatchSize, whiten

ResidualNorm = Literal["batch", "group"]


class Resnet(Config):
    """CIFAR's ResNet (He et al. 2015, section 4.2): a stem, three stages of two-convolution blocks, a mean over pixels.

    Where a stage halves the image and doubles the channels, the shortcut is a 1x1 convolution with a norm.
    """

    kind: Literal["resnet"] = "resnet"
    depth: Literal[8, 14, 20, 26, 32, 44, 56] = 8
    """Layers with weights on the longest way: 2 more than 6 for each block of a stage."""
    width: Annotated[int, Field(ge=1)] = 16
    """Channels of the first stage."""
    activation: Activation = "relu"
    """Inside every block and after its sum."""
    leaky_slope: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.01
    """Of leaky_relu below 0."""
    norm: ResidualNorm = "batch"
    """After every convolution."""
    norm_momentum: NormMomentum = 0.1
    """Share of each batch in batch norm's running statistics, as torch's `momentum`."""
    ghost_batch: GhostBatch = 0
    """Examples that batch norm takes statistics of, if fewer than a batch (Hoffer et al. 2017); 0: the batch."""
    group_size: GroupSize = 8
    """Channels that group norm treats together."""
    zero_init_residual: bool = False
    """Start the last norm of every branch at scale 0, so that at first a block is its shortcut (Goyal et al. 2017)."""
    drop_path: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate at which an example skips the last branch; it rises linearly from block to block (Huang et al. 2016)."""
    dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate before the output layer."""

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """A network from [B, channels, height, width] to logits [B, num_classes].

        Raises:
            ValueError: if the input is no image or too small, or the channels cannot be grouped.
        """
        require_images("resnet", input_shape, least=4, remedy="Use an mlp.")
        num_blocks = (self.depth - 2) // 6
        widths = [self.width * 2**stage for stage in range(3) for _ in range(num_blocks)]
        layers = [*self._convolution(input_shape[0], self.width), self._activation()]
        width = self.width
        for number, channels in enumerate(widths, start=1):
            layers += [self._block(width, channels, self.drop_path * number / len(widths)), self._activation()]
            width = channels
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if self.dropout > 0:
            layers.append(Dropout(self.dropout))
        return nn.Sequential(*layers, nn.Linear(width, num_classes))

    def _block(self, width: int, channels: int, drop_path: float) -> nn.Module:
        stride = 1 if width == channels else 2
        branch = [
            *self._convolution(width, channels, stride=stride),
            self._activation(),
            *self._convolution(channels, channels),
        ]
        if self.zero_init_residual:
            start_at_zero(branch[-1])
        if drop_path > 0:
            branch.append(Dropout(drop_path, num_axes=1))
        shortcut = None if stride == 1 else nn.Sequential(*self._convolution(width, channels, size=1, stride=stride))
        return Residual(nn.Sequential(*branch), shortcut)

    def _convolution(self, width: int, channels: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
        norm = image_norm(
            self.norm,
            channels,
            momentum=self.norm_momentum,
            ghost_batch=self.ghost_batch,
            group_size=self.group_size,
        )
        return [nn.Conv2d(width, channels, size, stride, padding=size // 2, bias=False), *norm]

    def _activation(self) -> nn.Module:
        return make_activation(self.activation, self.leaky_slope)


class Resnet9(Config):
    """Page's ResNet-9 (2018, "How to train your ResNet"): four convolutions and two residual blocks, quick to learn.

    Pooling comes before norm and activation, as in `Cnn`; the last pool takes the maximum over all pixels.
    """

    kind: Literal["resnet9"] = "resnet9"
    width: Annotated[int, Field(ge=1)] = 64
    """Channels of the first convolution; the others have 2, 4 and 8 times as many."""
    whiten_patches: PatchSize = 0
    """Side of the patches that a convolution before it whitens, never trained (Page 2019); 0: there is none."""
    activation: Activation = "relu"
    """After every norm."""
    leaky_slope: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.01
    """Of leaky_relu below 0."""
    norm: ResidualNorm = "batch"
    """After every convolution."""
    norm_momentum: NormMomentum = 0.1
    """Share of each batch in batch norm's running statistics, as torch's `momentum`."""
    ghost_batch: GhostBatch = 0
    """Examples that batch norm takes statistics of, if fewer than a batch (Hoffer et al. 2017); 0: the batch."""
    group_size: GroupSize = 8
    """Channels that group norm treats together."""
    drop_path: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate at which an example skips the second branch; the first has half of it (Huang et al. 2016)."""
    dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate before the output layer."""
    output_scale: Annotated[float, PER_LANE, Field(gt=0)] = 0.125
    """Factor on what the output layer gets, and so on the logits."""

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """A network from [B, channels, height, width] to logits [B, num_classes].

        Raises:
            ValueError: if the input is no image or too small, or the channels cannot be grouped.
        """
        require_images("resnet9", input_shape, 8 + (self.whiten_patches == 2), remedy="Use a resnet, or an mlp.")
        activation = make_activation(self.activation, self.leaky_slope)
        whitening, (num_channels, *_) = whiten(input_shape, self.whiten_patches, activation)
        width = self.width
        return nn.Sequential(
            *whitening,
            *self._convolution(num_channels, width),
            *self._convolution(width, 2 * width, pools=True),
            self._residual(2 * width, self.drop_path / 2),
            *self._convolution(2 * width, 4 * width, pools=True),
            *self._convolution(4 * width, 8 * width, pools=True),
            self._residual(8 * width, self.drop_path),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            *([Dropout(self.dropout)] if self.dropout > 0 else []),
            Scale(self.output_scale),
            nn.Linear(8 * width, num_classes),
        )

    def _residual(self, channels: int, drop_path: float) -> nn.Module:
        drop = [Dropout(drop_path, num_axes=1)] if drop_path > 0 else []
        branch = [*self._convolution(channels, channels), *self._convolution(channels, channels), *drop]
        return Residual(nn.Sequential(*branch))

    def _convolution(self, width: int, channels: int, *, pools: bool = False) -> list[nn.Module]:
        norm = image_norm(
            self.norm,
            channels,
            momentum=self.norm_momentum,
            ghost_batch=self.ghost_batch,
            group_size=self.group_size,
        )
        convolution = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        pool = [nn.MaxPool2d(2)] if pools else []
        return [convolution, *pool, *norm, make_activation(self.activation, self.leaky_slope)]
