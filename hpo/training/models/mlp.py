"""Multilayer perceptrons."""

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, PER_LANE_UNLESS_0, Config
from hpo.training.models.layers import Activation, DropConnect, Dropout, Maxout, Residual, make_activation
from hpo.training.models.norms import DenseNorm, GhostBatch, NormMomentum, NormPosition, dense_norm


class Mlp(Config):
    """Flatten, then dense layers with norm, activation and dropout, then a dense output."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (256, 256)
    """Width of each hidden layer."""
    residual: bool = False
    """Add the input of every hidden layer but the first to its output, where both are equally wide."""
    activation: Literal[Activation, "maxout"] = "relu"
    """After every hidden layer; maxout takes the largest of `maxout_k` units."""
    leaky_slope: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.01
    """Of leaky_relu below 0."""
    maxout_k: Annotated[int, Field(ge=2)] = 2
    """Units of which maxout takes the largest; so many times more weights (Goodfellow et al. 2013)."""
    norm: DenseNorm = "none"
    """Of every hidden layer, inside the residual branch."""
    norm_position: NormPosition = "before"
    """Of the norm, as seen from the activation."""
    norm_momentum: NormMomentum = 0.1
    """Share of each batch in batch norm's running statistics, as torch's `momentum`."""
    ghost_batch: GhostBatch = 0
    """Examples that batch norm takes statistics of, if fewer than a batch (Hoffer et al. 2017); 0: the batch."""
    input_dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate at which input features are dropped."""
    dropout: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate after every hidden activation."""
    dropconnect: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Rate at which weights of hidden layers are dropped (Wan et al. 2013)."""

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """A network from [B, *input_shape] to logits [B, num_classes]."""
        layers: list[nn.Module] = [nn.Flatten()]
        if self.input_dropout > 0:
            layers.append(Dropout(self.input_dropout))
        width = math.prod(input_shape)
        for number, hidden in enumerate(self.hidden):
            block = self._block(width, hidden)
            layers += [Residual(nn.Sequential(*block))] if self.residual and number > 0 and width == hidden else block
            width = hidden
        return nn.Sequential(*layers, nn.Linear(width, num_classes))

    def _block(self, width: int, hidden: int) -> list[nn.Module]:
        """A hidden layer; a bias is left out where the norm would take it away."""
        is_maxout, is_before = self.activation == "maxout", self.norm_position == "before"
        units = hidden * self.maxout_k if is_maxout else hidden
        dense = nn.Linear(width, units, bias=self.norm != "batch" or not is_before)
        norm = dense_norm(
            self.norm, units if is_before else hidden, momentum=self.norm_momentum, ghost_batch=self.ghost_batch
        )
        activation = (
            Maxout(self.maxout_k) if self.activation == "maxout" else make_activation(self.activation, self.leaky_slope)
        )
        return [
            DropConnect(dense, self.dropconnect) if self.dropconnect > 0 else dense,
            *([*norm, activation] if is_before else [activation, *norm]),
            *([Dropout(self.dropout)] if self.dropout > 0 else []),
        ]
