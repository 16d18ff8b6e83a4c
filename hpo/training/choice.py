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
NUM_ROUNDS = 3

LaneSetting = int | Literal["auto"]
"""Lanes by hand, or as measured."""


def most_lanes(measure: Callable[[int], float], limit: int) -> int:
    """How many lanes give the highest throughput; 1 if that is not `LEAST_GAIN` times solo's.

    Doubles the lanes while that pays. Where a number of lanes does not fit into memory, bisects for the most that do.

    Args:
        measure: seconds of a step for each trial, with so many lanes; 1 is solo. Raises torch.OutOfMemoryError.
        limit: of lanes.
    """
    solo_s, seconds, lanes = measure(1), {}, 2
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
    best = min(seconds, key=seconds.__getitem__, default=1)
    return best if best > 1 and seconds[best] * LEAST_GAIN <= solo_s else 1


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
    """Remembers, for each signature, how many lanes are best on this worker's device."""

    setting: LaneSetting
    data: TrainingData
    _known: dict[str, int] = field(default_factory=dict)

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
            self._known[key] = self._chosen(recipes, states)
        return self._known[key]

    def _chosen(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> int:
        reason = why_not_lanes(recipes, self.data, states) if isinstance(recipes[0].model, Custom) else None
        if reason is not None:
            logger.warning("%s trains one trial at a time: %s.", recipes[0].model.factory, reason)
            return 1
        return self._measured(recipes[0], states[0]) if self.setting == "auto" else self.setting

    def _measured(self, recipe: Recipe, state: TrialState) -> int:
        num_examples = NUM_STEPS * recipe.batch_size
        part = replace(self.data, train_x=self.data.train_x[:num_examples], train_y=self.data.train_y[:num_examples])
        tame = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"lr": TAME_LR})})

        def measure(lanes: int) -> float:
            program = make_program([tame] * lanes, part, Luck(0, 0), [state] * lanes)
            return min(_seconds_of_epoch(program) for _ in range(NUM_ROUNDS)) / (NUM_STEPS * lanes)

        if part.train_x.device.type == "cpu" and measure(1) > SLOW_STEP_S:
            return 1
        return most_lanes(measure, MOST)


def make_program(
    recipes: Sequence[Recipe], data: TrainingData, luck: Luck, states: Sequence[TrialState]
) -> Program:
    """Trials side by side; a single one alone, as plain PyTorch."""
    if len(recipes) == 1:
        return Solo(recipes[0], data, luck, states[0])
    return Lanes(recipes, data, luck, states)


def _seconds_of_epoch(program: Program) -> float:
    started = time.perf_counter()
    program.train_epoch(1)
    return time.perf_counter() - started
