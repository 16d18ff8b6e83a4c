"""Small convolutional networks."""

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from hpo.config import PER_LANE_UNLESS_0, Config
from hpo.training.models.layers import Activation, Dropout, make_activation


class Cnn(Config):
    """Blocks of 3x3 convolution, 2x2 max-pooling, norm and activation, then a dense head.

    Pooling comes before norm and activation: a quarter of the work, and the same maximum for a monotone
    activation (Page 2018, "How to train your ResNet").
    """

    kind: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 32)
    """Output channels of each block; each block halves height and width."""
    hidden: Annotated[int, Field(ge=1)] = 128
    """Width of the dense layer before the output."""
    activation: Activation = "relu"
    """After every block and the dense layer."""
    norm: Literal["none", "batch"] = "batch"
    """Of every block."""
    dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate before the output layer, after every norm."""

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """A network from [B, channels, height, width] to logits [B, num_classes].

        Raises:
            ValueError: if the input is no image, or too small for so many blocks.
        """
        if len(input_shape) != 3 or min(input_shape[1:]) >> len(self.channels) == 0:
            least = 2 ** len(self.channels)
            raise ValueError(
                f"cnn with {len(self.channels)} blocks needs images [channels, height, width] of at least "
                f"{least} x {least}, but the data have shape {list(input_shape)}. Use fewer channels, or an mlp."
            )
        layers: list[nn.Module] = []
        width, *height_width = input_shape
        for channels in self.channels:
            layers += [nn.Conv2d(width, channels, 3, padding=1, bias=self.norm == "none"), nn.MaxPool2d(2)]
            if self.norm == "batch":
                layers.append(nn.BatchNorm2d(channels))
            layers.append(make_activation(self.activation))
            width, height_width = channels, [size // 2 for size in height_width]
        layers += [nn.Flatten(), nn.Linear(width * math.prod(height_width), self.hidden)]
        layers.append(make_activation(self.activation))
        if self.dropout > 0:
            layers.append(Dropout(self.dropout))
        return nn.Sequential(*layers, nn.Linear(self.hidden, num_classes))
