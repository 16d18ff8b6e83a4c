"""Schedules that go up again and again."""

import itertools
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config
from hpo.training.schedules.decays import Cosine
from hpo.training.schedules.pieces import Floor, Warmup, half_cosine

NumCycles = Annotated[int, Field(ge=1)]


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
        return half_cosine(max(self.floor, self.decay**cycle), self.floor, place)


class Fge(Config):
    """Warm up, decay along a half cosine to `floor`, then rise and fall in short triangles (Garipov et al. 2018).

    Fast geometric ensembling: the paper's cycles begin at the top and leave a network half way, where the rate is
    least; these begin at the `floor` that the decay has reached, so that training, too, ends with such a network.
    """

    kind: Literal["fge"] = "fge"
    warmup: Warmup = 0.05
    """Share of training before the triangles spent warming up."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of training spent in triangles, its last."""
    cycles: NumCycles = 4
    """Triangles, all of one length: of 2 to 4 epochs in the paper."""
    top: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor at the top of each triangle, where it is above `floor`."""
    floor: Floor = 0.01
    """Factor between two triangles."""

    def cycle_ends(self, epochs: int) -> list[int]:
        """After how many of so many epochs the decay and each triangle end, rounded to whole ones."""
        ends = (1 - self.share * (1 - number / self.cycles) for number in range(self.cycles + 1))
        return sorted({max(1, round(epochs * end)) for end in ends})

    def __call__(self, progress: float) -> float:
        before = 1 - self.share
        if progress < before:
            return Cosine(warmup=self.warmup, floor=self.floor)(progress / before)
        _, place = _cycle((progress - before) / self.share, self.cycles)
        return self.floor + (max(self.top, self.floor) - self.floor) * (1 - abs(2 * place - 1))


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
