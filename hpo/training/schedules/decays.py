"""Schedules that go down, once."""

import math
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config
from hpo.training.schedules.pieces import Floor, Warmup, after_warmup, half_cosine, warm_up


class Constant(Config):
    """Warm up linearly, then stay at the peak."""

    kind: Literal["constant"] = "constant"
    warmup: Warmup = 0.0
    """Share of training spent warming up."""

    def __call__(self, progress: float) -> float:
        return warm_up(progress, self.warmup) or 1.0


class Cosine(Config):
    """Warm up linearly, then decay along a half cosine to `floor` (Loshchilov & Hutter 2017)."""

    kind: Literal["cosine"] = "cosine"
    warmup: Warmup = 0.05
    """Share of training spent warming up."""
    floor: Floor = 0.0
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        decayed = half_cosine(1.0, self.floor, after_warmup(progress, self.warmup))
        return warm_up(progress, self.warmup) or decayed


class Linear(Config):
    """Warm up linearly, then decay linearly to `floor`."""

    kind: Literal["linear"] = "linear"
    warmup: Warmup = 0.05
    """Share of training spent warming up."""
    floor: Floor = 0.0
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        rest = after_warmup(progress, self.warmup)
        return warm_up(progress, self.warmup) or 1 - (1 - self.floor) * rest


class Polynomial(Config):
    """Warm up linearly, then decay as `(1 - rest) ** power` to `floor`; power 1 is linear."""

    kind: Literal["polynomial"] = "polynomial"
    warmup: Warmup = 0.05
    """Share of training spent warming up."""
    power: Annotated[float, Field(gt=0)] = 2.0
    """Above 1, most of the decay comes early."""
    floor: Floor = 0.0
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        rest = after_warmup(progress, self.warmup)
        return warm_up(progress, self.warmup) or self.floor + (1 - self.floor) * (1 - rest) ** self.power


class Exponential(Config):
    """Warm up linearly, then decay by the same factor at every step, to `floor` at the end."""

    kind: Literal["exponential"] = "exponential"
    warmup: Warmup = 0.0
    """Share of training spent warming up."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        return warm_up(progress, self.warmup) or self.floor ** after_warmup(progress, self.warmup)


class Step(Config):
    """Warm up linearly, then multiply by `gamma` after every `every` of training."""

    kind: Literal["step"] = "step"
    warmup: Warmup = 0.0
    """Share of training spent warming up."""
    every: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of training between two drops."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of each drop."""

    def __call__(self, progress: float) -> float:
        num_drops = math.floor(progress / self.every + 1e-9)  # 0.6 / 0.2 is 2.99...
        return warm_up(progress, self.warmup) or self.gamma**num_drops


class OneCycle(Config):
    """Rise along a half cosine from `start` to the peak, then fall along one to `floor` (Smith & Topin 2018).

    As `torch.optim.lr_scheduler.OneCycleLR` with `cycle_momentum=False`: momentum stays as the optimizer has it, where
    the paper, and torch by default, lower it while the rate is high.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    peak: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Progress at which the peak is reached."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.04
    """Factor at the start."""
    floor: Floor = 4e-6
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        if progress < self.peak:
            return half_cosine(self.start, 1.0, progress / self.peak)
        return half_cosine(1.0, self.floor, (progress - self.peak) / (1 - self.peak))


class WarmupStableDecay(Config):
    """Warm up linearly, stay at the peak, then decay linearly to `floor` in the last `decay` (Hu et al. 2024)."""

    kind: Literal["warmup_stable_decay"] = "warmup_stable_decay"
    warmup: Warmup = 0.05
    """Share of training spent warming up."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of training spent decaying."""
    floor: Floor = 0.0
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        rest = max(0.0, progress - (1 - self.decay)) / self.decay
        return warm_up(progress, self.warmup) or 1 - (1 - self.floor) * rest
