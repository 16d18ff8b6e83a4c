"""How many lanes: measured on the device that trains, once for each signature."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from hpo.training.examples import TrainingData
from hpo.training.lanes import Lanes
from hpo.training.luck import Luck
from hpo.training.models import Custom
from hpo.training.program import Program
from hpo.training.recipe import Recipe, signature
from hpo.training.selfcheck import why_not_lanes
from hpo.training.solo import Solo
from hpo.training.state import TrialState

logger = logging.getLogger(__name__)

LEAST_GAIN = 1.3
"""Lanes must be so many times faster than solo to be worth their float differences."""
LEAST_RISE = 1.05
"""A doubling of lanes that gains less than this is the last one tried."""
MOST = 256
"""Lanes, at most."""
SLOW_STEP_S = 5e-3
"""On a processor, a solo step that takes longer is bound by arithmetic, and is not helped by company."""
TAME_LR = 1e-9
"""With which no trial diverges while it is timed."""
NUM_STEPS = 4
"""Timed at once."""
NUM_ROUNDS = 3
"""At least, of which the best counts: what disturbs a measurement only ever slows it."""
LEAST_MEASURED_S = 0.02
"""Quick steps are timed for longer than so many rounds."""

LaneSetting = int | Literal["auto"]
"""Lanes by hand, or as measured."""


def measure_rising(measure: Callable[[int], float], limit: int) -> dict[int, float]:
    """Seconds of a step for each trial, by lanes: 1, which is solo, then doubled while that pays.

    Where a number of lanes does not fit into memory, bisects for the most that do.

    Args:
        measure: those seconds, with so many lanes. Raises torch.OutOfMemoryError.
        limit: of lanes.
    """
    seconds, lanes = {1: measure(1)}, 2
    while lanes <= limit:
        try:
            seconds[lanes] = measure(lanes)
        except torch.OutOfMemoryError:
            fitting = _most_that_fit(measure, lanes // 2, lanes)
            if fitting > 1:
                seconds[fitting] = measure(fitting)
            break
        if lanes > 2 and seconds[lanes] * LEAST_RISE > seconds[lanes // 2]:
            break
        lanes *= 2
    return seconds


def most_lanes(seconds: Mapping[int, float], num_trials: int) -> int:
    """How many lanes give the highest throughput; 1 if those that the trials fill are not `LEAST_GAIN` times solo's.

    Args:
        seconds: as measured, by lanes.
        num_trials: that are there to train.
    """
    best = min(seconds, key=seconds.__getitem__)
    filled = max(lanes for lanes in seconds if lanes <= min(best, num_trials))
    return best if seconds[filled] * LEAST_GAIN <= seconds[1] else 1


def _most_that_fit(measure: Callable[[int], float], fits: int, too_many: int) -> int:
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        try:
            measure(middle)
        except torch.OutOfMemoryError:
            too_many = middle
        else:
            fits = middle
    return fits


@dataclass
class LaneChoice:
    """How many lanes are best on this worker's device; what was measured for a signature is remembered."""

    setting: LaneSetting
    data: TrainingData
    _known: dict[str, Mapping[int, float]] = field(default_factory=dict)
    """Seconds of a step for each trial, by lanes; only those of 1, where lanes are out of the question."""

    def for_group(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> int:
        """How many of these trials to train side by side; 1: each alone.

        Args:
            recipes: of one signature.
            states: where the trials stand; they are left as they are.
        """
        if len(recipes) == 1 or self.setting == 1:
            return 1
        key = signature(recipes[0])
        if key not in self._known:
            with torch.random.fork_rng(devices=[]):
                self._known[key] = self._measured(recipes, states)
        return most_lanes(self._known[key], len(recipes))

    def _measured(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> Mapping[int, float]:
        recipe, state = recipes[0], states[0]
        if self.setting == "auto" and self._is_bound_by_arithmetic(recipe, state):
            return ALONE
        reason = why_not_lanes(recipes, self.data, states) if isinstance(recipe.model, Custom) else None
        if reason is not None:
            logger.warning("%s trains one trial at a time: %s.", recipe.model.factory, reason)
            return ALONE
        if self.setting != "auto":
            return {1: math.inf, self.setting: 0.0}
        return measure_rising(lambda lanes: self._seconds(self._tame(recipe, state, lanes, NUM_STEPS)) / lanes, MOST)

    def _is_bound_by_arithmetic(self, recipe: Recipe, state: TrialState) -> bool:
        """As are, on a processor, all steps that take long."""
        if self.data.train_x.device.type != "cpu":
            return False
        program = self._tame(recipe, state, lanes=1, num_steps=1)
        return min(self._seconds_of_epoch(program) for _ in range(2)) > SLOW_STEP_S
