"""What to look at while trials train."""

from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config

Kind = Literal["updates", "gradients", "activations", "features", "start"]


class Diagnostics(Config):
    """Metrics about the inside of every trial, measured after an epoch on a copy of it and one fixed batch.

    They change no trial. A number that is not finite, or of which a network has none, is left out.
    """

    every: Annotated[int, Field(ge=0)] = 0
    """Epochs from one diagnosis to the next, of which the first follows the first epoch; 0: none."""
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = (
        "updates",
        "gradients",
        "activations",
        "features",
        "start",
    )
    """Size of updates, size of gradients, health of activations, correlation of features, and the loss at the start.

    Updates: ||dw|| / ||w|| of the layers' weights in one more step; 0.001 is usual. Gradients: norms of the layers'
    weights, the largest share of exact zeros, how many are not finite. Activations: the largest share of saturated and
    of dead units in a layer, how constant the most constant layer is, and the spread of the last over that of the
    first. Features: mean absolute correlation and effective rank of what the last layer is given. Start: the loss
    before the first step over that of a network which knows nothing, at epoch 1.
    """

    def are_due(self, epoch: int) -> bool:
        """Whether to look after `epoch`, from 1."""
        return self.every > 0 and (epoch - 1) % self.every == 0
