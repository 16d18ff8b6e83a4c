"""Multilayer perceptrons."""

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from hpo.config import PER_LANE_UNLESS_0, Config
from hpo.training.models.layers import Activation, Dropout, make_activation


class Mlp(Config):
    """Flatten, then dense layers with norm, activation and dropout, then a dense output."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (256, 256)
    """Width of each hidden layer."""
    activation: Activation = "relu"
    """After every hidden layer."""
    norm: Literal["none", "batch"] = "none"
    """Between a hidden layer and its activation."""
    dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate after every hidden activation."""

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """A network from [B, *input_shape] to logits [B, num_classes]."""
        layers: list[nn.Module] = [nn.Flatten()]
        width = math.prod(input_shape)
        for hidden in self.hidden:
            layers.append(nn.Linear(width, hidden, bias=self.norm == "none"))
            if self.norm == "batch":
                layers.append(nn.BatchNorm1d(hidden))
            layers.append(make_activation(self.activation))
            if self.dropout > 0:
                layers.append(Dropout(self.dropout))
            width = hidden
        return nn.Sequential(*layers, nn.Linear(width, num_classes))
