"""When a trial has learned all that it will."""

from typing import Annotated

from pydantic import Field

from hpo.config import Config


class EarlyStopping(Config):
    """End a trial whose validation loss no longer falls, and give it back its best state (Prechelt 1998).

    The loss decides, whatever trials are compared by: it moves before accuracy does, and in smaller steps. A trial that
    reaches its last epoch goes back to its best one too. Needs `scheduler: {kind: none}`.
    """

    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a new best loss after which a trial ends; 0: it keeps its last state, at its last epoch."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Nats by which a loss must lie below the best to be a new best."""

    def is_best(self, loss: float, best: float) -> bool:
        """Whether a loss is a new best; never true of NaN."""
        return loss < best - self.min_delta
