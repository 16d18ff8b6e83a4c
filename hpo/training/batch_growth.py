"""Larger batches, where others lower the learning rate."""

import math
from typing import Annotated

from pydantic import Field

from hpo.config import Config


class BatchGrowth(Config):
    """Multiply the batch size after every `every` of training, as a step schedule divides the rate (Smith et al. 2018).

    The noise of SGD goes with rate / batch size, so that both anneal it alike; large batches make fewer steps. It grows
    between epochs, by one step at most.
    """

    every: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of training after which the batch grows, and grows again; 0: it stays as it is."""
    factor: Annotated[int, Field(ge=2)] = 2
    """Of the batch size each time."""
    most: Annotated[int, Field(ge=0)] = 0
    """Examples in a batch, however often it has grown; 0: without bound."""

    def size(self, batch_size: int, epoch: int, epochs: int) -> int:
        """Examples of a batch in `epoch`, from 1, of `epochs`.

        Args:
            batch_size: of the first epoch.
            epoch: the batch is as it has grown by its beginning.
            epochs: of the whole training.
        """
        if self.every == 0:
            return batch_size
        num_times = math.floor((epoch - 1) / epochs / self.every + 1e-9)  # 0.6 / 0.2 is 2.99...
        grown: int = batch_size * self.factor ** min(num_times, epoch - 1)
        return min(grown, max(self.most, batch_size)) if self.most > 0 else grown
