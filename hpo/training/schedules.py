"""Learning-rate schedules: functions of progress, planned for the full length of training.

`schedule(progress)` takes progress in [0, 1) and returns the factor on the peak learning rate. A
schedule is never stretched to a rung, so that values at a rung are comparable and survivors go on.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import PER_LANE, Config

Warmup = Annotated[float, PER_LANE, Field(ge=0, lt=1)]
Floor = Annotated[float, PER_LANE, Field(ge=0, le=1)]


class Constant(Config):
    """Warm up linearly, then stay at the peak."""

    kind: Literal["constant"] = "constant"
    warmup: Warmup = 0.0
    """Share of training spent warming up."""

    def __call__(self, progress: float) -> float:
        return _warm_up(progress, self.warmup) or 1.0


class Cosine(Config):
    """Warm up linearly, then decay along a half cosine to `floor` (Loshchilov & Hutter 2017)."""

    kind: Literal["cosine"] = "cosine"
    warmup: Warmup = 0.05
    """Share of training spent warming up."""
    floor: Floor = 0.0
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        rest = _after_warmup(progress, self.warmup)
        decayed = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * rest))
        return _warm_up(progress, self.warmup) or decayed


class Linear(Config):
    """Warm up linearly, then decay linearly to `floor`."""

    kind: Literal["linear"] = "linear"
    warmup: Warmup = 0.05
    """Share of training spent warming up."""
    floor: Floor = 0.0
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        rest = _after_warmup(progress, self.warmup)
        return _warm_up(progress, self.warmup) or 1 - (1 - self.floor) * rest


class Step(Config):
    """Warm up linearly, then multiply by `gamma` after every `every` of training."""

    kind: Literal["step"] = "step"
    warmup: Warmup = 0.0
    """Share of training spent warming up."""
    every: Annotated[float, PER_LANE, Field(gt=0, le=1)] = 0.3
    """Share of training between two drops."""
    gamma: Annotated[float, PER_LANE, Field(gt=0, le=1)] = 0.1
    """Factor of each drop."""

    def __call__(self, progress: float) -> float:
        num_drops = math.floor(progress / self.every + 1e-9)  # 0.6 / 0.2 is 2.99...
        return _warm_up(progress, self.warmup) or self.gamma**num_drops


Schedule = Annotated[Constant | Cosine | Linear | Step, Field(discriminator="kind")]


def _warm_up(progress: float, warmup: float) -> float | None:
    """The rising factor, or none once warm; just above zero at the first step, so that it moves."""
    return max(progress / warmup, 1e-3) if progress < warmup else None


def _after_warmup(progress: float, warmup: float) -> float:
    """Progress from the end of the warm-up, in [0, 1)."""
    return max(0.0, progress - warmup) / (1 - warmup)
