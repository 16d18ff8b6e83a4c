"""Controls: trials that are trained to the end whatever their rungs say, to see what stopping costs."""

from random import Random
from typing import Annotated

from pydantic import Field

Controls = Annotated[float, Field(ge=0, le=1)]

GOLDEN = (5**0.5 - 1) / 2


def is_control(seed: int, trial_id: int, share: float) -> bool:
    """Whether a trial is one, with chance `share`; by the sweep's seed and its number alone, so that it repeats.

    Steps of the golden ratio round a circle: of any few trials in a row about the share are controls, where
    independent draws may give none, and their gaps follow no rhythm that a sampler could have too.
    """
    return (Random(f"control {seed}").random() + trial_id * GOLDEN) % 1 < share
