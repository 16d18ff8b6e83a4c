"""A schedule that follows the losses."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config
from hpo.training.schedules.pieces import Warmup, warm_up


@dataclass(frozen=True, kw_only=True)
class PlateauMemory:
    """What a plateau schedule knows of the losses so far."""

    factor: float = 1.0
    """On the learning rate."""
    best: float = math.inf
    """The least loss."""
    num_bad: int = 0
    """Epochs since then that count."""
    num_cooling: int = 0
    """Epochs to come that do not count."""


class Plateau(Config):
    """Warm up linearly, then lower the rate each time the validation loss has ceased to fall.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau`, without its `eps`. Of progress only the warm-up is a function; the
    rest is in a memory, which `after` brings forward. Needs `scheduler: {kind: none}`.
    """

    kind: Literal["plateau"] = "plateau"
    warmup: Warmup = 0.0
    """Share of training spent warming up."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Of the rate, each time it is lowered."""
    patience: Annotated[int, Field(ge=0)] = 3
    """Epochs in a row without a new best loss that are borne; the next one lowers the rate."""
    cooldown: Annotated[int, Field(ge=0)] = 0
    """Epochs after that which do not count."""
    threshold: Annotated[float, Field(ge=0, lt=1)] = 1e-4
    """Share by which a loss must lie below the best to be a new best."""
    floor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Least factor on the peak rate."""

    def __call__(self, progress: float) -> float:
        return warm_up(progress, self.warmup) or 1.0

    def after(self, memory: PlateauMemory, loss: float) -> PlateauMemory:
        """The memory after one more epoch; a loss that is NaN is no new best."""
        is_best = loss < memory.best * (1 - self.threshold)
        known = replace(memory, best=loss if is_best else memory.best, num_bad=0 if is_best else memory.num_bad + 1)
        if known.num_cooling > 0:
            return replace(known, num_bad=0, num_cooling=known.num_cooling - 1)
        if known.num_bad <= self.patience:
            return known
        return replace(known, factor=max(known.factor * self.factor, self.floor), num_bad=0, num_cooling=self.cooldown)
