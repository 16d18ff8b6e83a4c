"""Learning-rate schedules: functions of progress, planned for the full length of training.

`schedule(progress)` takes progress in [0, 1) and returns the factor on the peak learning rate. A
schedule is never stretched to a rung, so that values at a rung are comparable and survivors go on.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config

Warmup = Annotated[float, Field(ge=0, lt=1)]
Floor = Annotated[float, Field(ge=0, le=1)]
NumCycles = Annotated[int, Field(ge=1)]


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
        decayed = _half_cosine(1.0, self.floor, _after_warmup(progress, self.warmup))
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
        rest = _after_warmup(progress, self.warmup)
        return _warm_up(progress, self.warmup) or self.floor + (1 - self.floor) * (1 - rest) ** self.power


class Exponential(Config):
    """Warm up linearly, then decay by the same factor at every step, to `floor` at the end."""

    kind: Literal["exponential"] = "exponential"
    warmup: Warmup = 0.0
    """Share of training spent warming up."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Factor reached at the end."""

    def __call__(self, progress: float) -> float:
        return _warm_up(progress, self.warmup) or self.floor ** _after_warmup(progress, self.warmup)


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
        return _warm_up(progress, self.warmup) or self.gamma**num_drops


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
            return _half_cosine(self.start, 1.0, progress / self.peak)
        return _half_cosine(1.0, self.floor, (progress - self.peak) / (1 - self.peak))


class Cyclic(Config):
    """Triangles between `floor` and a peak that shrinks by `decay` from one to the next (Smith 2017)."""

    kind: Literal["cyclic"] = "cyclic"
    cycles: NumCycles = 3
    """Triangles, all of one length."""
    floor: Floor = 0.1
    """Factor between two triangles."""
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of a triangle's height by the next; 0.5 is Smith's triangular2."""

    def cycle_ends(self, epochs: int) -> list[int]:
        """After how many of so many epochs each triangle ends, rounded to whole ones."""
        return _cycle_ends(epochs, self.cycles)

    def __call__(self, progress: float) -> float:
        cycle, place = _cycle(progress, self.cycles)
        height = (1 - self.floor) * self.decay**cycle
        return self.floor + height * (1 - abs(2 * place - 1))


class WarmRestarts(Config):
    """Half cosines from a peak to `floor`, each begun anew (SGDR, Loshchilov & Hutter 2017).

    The end of each cycle is where a snapshot is worth most (Huang et al. 2017).
    """

    kind: Literal["warm_restarts"] = "warm_restarts"
    cycles: NumCycles = 4
    """Half cosines."""
    stretch: Annotated[int, Field(ge=1)] = 1
    """How many times longer each cycle is than the one before."""
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the peak from one cycle to the next."""
    floor: Floor = 0.0
    """Factor at the end of each cycle."""

    def cycle_ends(self, epochs: int) -> list[int]:
        """After how many of so many epochs each half cosine ends, rounded to whole ones."""
        return _cycle_ends(epochs, self.cycles, self.stretch)

    def __call__(self, progress: float) -> float:
        cycle, place = _cycle(progress, self.cycles, self.stretch)
        return _half_cosine(max(self.floor, self.decay**cycle), self.floor, place)


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
        return _warm_up(progress, self.warmup) or 1 - (1 - self.floor) * rest


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
        return _warm_up(progress, self.warmup) or 1.0

    def after(self, memory: PlateauMemory, loss: float) -> PlateauMemory:
        """The memory after one more epoch; a loss that is NaN is no new best."""
        is_best = loss < memory.best * (1 - self.threshold)
        known = replace(memory, best=loss if is_best else memory.best, num_bad=0 if is_best else memory.num_bad + 1)
        if known.num_cooling > 0:
            return replace(known, num_bad=0, num_cooling=known.num_cooling - 1)
        if known.num_bad <= self.patience:
            return known
        return replace(known, factor=max(known.factor * self.factor, self.floor), num_bad=0, num_cooling=self.cooldown)


Schedule = Annotated[
    Constant
    | Cosine
    | Linear
    | Polynomial
    | Exponential
    | Step
    | OneCycle
    | Cyclic
    | WarmRestarts
    | WarmupStableDecay
    | Plateau,
    Field(discriminator="kind"),
]


def _warm_up(progress: float, warmup: float) -> float | None:
    """The rising factor, or none once warm; just above zero at the first step, so that it moves."""
    return max(progress / warmup, 1e-3) if progress < warmup else None


def _after_warmup(progress: float, warmup: float) -> float:
    """Progress from the end of the warm-up, in [0, 1)."""
    return max(0.0, progress - warmup) / (1 - warmup)


def _half_cosine(start: float, end: float, place: float) -> float:
    """From `start` at place 0 to `end` at place 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * place))


def _cycle(progress: float, num_cycles: int, stretch: int = 1) -> tuple[int, float]:
    """The number of the cycle, from 0, and the place in it, in [0, 1)."""
    lengths = [stretch**number for number in range(num_cycles)]
    left = progress * sum(lengths) + 1e-9  # the first step of a cycle belongs to it, whatever rounding says
    for cycle, length in enumerate(lengths):
        if left < length:
            return cycle, max(0.0, left - 1e-9) / length
        left -= length
    return num_cycles - 1, 1.0


def _cycle_ends(epochs: int, num_cycles: int, stretch: int = 1) -> list[int]:
    """Whole epochs, each once: where there are more cycles than epochs, several end together."""
    ends = list(itertools.accumulate(stretch**number for number in range(num_cycles)))
    return sorted({max(1, round(epochs * end / ends[-1])) for end in ends})
