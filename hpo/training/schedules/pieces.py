"""What schedules are made of."""

import math
from typing import Annotated

from pydantic import Field

Warmup = Annotated[float, Field(ge=0, lt=1)]
Floor = Annotated[float, Field(ge=0, le=1)]


def warm_up(progress: float, warmup: float) -> float | None:
    """The rising factor, or none once warm; just above zero at the first step, so that it moves."""
    return max(progress / warmup, 1e-3) if progress < warmup else None


def after_warmup(progress: float, warmup: float) -> float:
    """Progress from the end of the warm-up, in [0, 1)."""
    return max(0.0, progress - warmup) / (1 - warmup)


def half_cosine(start: float, end: float, place: float) -> float:
    """From `start` at place 0 to `end` at place 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * place))
