"""How many lanes: measured on the device that trains, once for each signature."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from hpo.training.examples import TrainingData
from hpo.training.lanes import Lanes
from hpo.training.luck import Luck
from hpo.training.models import Custom
from hpo.training.optimizers import LaneOptimizer
from hpo.training.program import Program
from hpo.training.recipe import Recipe, signature
from hpo.training.selfcheck import why_not_lanes
from hpo.training.solo import Solo
from hpo.training.state import TrialState

logger = logging.getLogger(__name__)

LEAST_GAIN = 1.3
"""Lanes must be so many times faster than solo to be worth their float differences."""
LEAST_RISE = 1.05
"""A doubling of lanes that gains less than this is a miss."""
MOST_MISSES = 2
"""In a row end the measuring: one may be a disturbance."""
MOST = 256
"""Lanes, at most."""
SLOW_STEP_S = 5e-3
"""On a processor, a solo step that takes longer is bound by arithmetic, and is not helped by company."""
TAME_LR = 1e-9
"""With which no trial diverges while it is timed."""
ALONE = {1: 0.0}
"""Seconds by lanes, where lanes are out of the question."""
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
    seconds, lanes, num_misses = {1: measure(1)}, 2, 0
    while lanes <= limit:
        try:
            seconds[lanes] = measure(lanes)
        except torch.OutOfMemoryError:
            fitting = _most_that_fit(measure, lanes // 2, lanes)
            if fitting > 1:
                seconds[fitting] = measure(fitting)
            break
        earlier = [seconds[fewer] for fewer in seconds if 1 < fewer < lanes]
        num_misses = num_misses + 1 if earlier and seconds[lanes] * LEAST_RISE > min(earlier) else 0
        if num_misses == MOST_MISSES:
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
        if len(recipes) == 1 or self.setting == 1 or not isinstance(recipes[0].optimizer, LaneOptimizer):
            return 1
        key = signature(recipes[0])
        if key not in self._known:
            with torch.random.fork_rng(devices=[]):
                self._known[key] = self._measured(recipes, states)
        return most_lanes(self._known[key], len(recipes))

    def _measured(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> Mapping[int, float]:
        recipe, state, model = recipes[0], states[0], recipes[0].model
        if self.setting == "auto" and self._is_bound_by_arithmetic(recipe, state):
            return ALONE
        if isinstance(model, Custom) and (reason := why_not_lanes(recipes, self.data, states)):
            logger.warning("%s trains one trial at a time: %s.", model.factory, reason)
            return ALONE
        if self.setting != "auto":
            return {1: math.inf, self.setting: 0.0}  # by hand, whatever it costs
        return measure_rising(lambda lanes: self._seconds_of_step(recipe, state, lanes), MOST)

    def _is_bound_by_arithmetic(self, recipe: Recipe, state: TrialState) -> bool:
        """As are, on a processor, all steps that take long."""
        if self.data.train_x.device.type != "cpu":
            return False
        program, clock = self._tame(recipe, state, lanes=1, num_steps=1), _clock(self.data)
        return min(_seconds_of_epoch(program, clock) for _ in range(2)) > SLOW_STEP_S

    def _seconds_of_step(self, recipe: Recipe, state: TrialState, lanes: int) -> float:
        program, clock = self._tame(recipe, state, lanes, NUM_STEPS), _clock(self.data)
        seconds = [_seconds_of_epoch(program, clock) for _ in range(NUM_ROUNDS)]
        while sum(seconds) < LEAST_MEASURED_S:
            seconds.append(_seconds_of_epoch(program, clock))
        return min(seconds) / (NUM_STEPS * lanes)

    def _tame(self, recipe: Recipe, state: TrialState, lanes: int, num_steps: int) -> Program:
        """A program that cannot diverge, whose epoch has `num_steps`, or fewer where the data end."""
        num_examples = num_steps * recipe.batch_size
        part = replace(self.data, train_x=self.data.train_x[:num_examples], train_y=self.data.train_y[:num_examples])
        tame = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"lr": TAME_LR})})
        return make_program([tame] * lanes, part, Luck(0, 0), [state] * lanes)


def make_program(recipes: Sequence[Recipe], data: TrainingData, luck: Luck, states: Sequence[TrialState]) -> Program:
    """Trials side by side; a single one alone, as plain PyTorch."""
    if len(recipes) == 1:
        return Solo(recipes[0], data, luck, states[0])
    return Lanes(recipes, data, luck, states)


def _clock(data: TrainingData) -> Callable[[], float]:
    """Of processor time, where one thread trains: what else the machine does is then not counted; else of wall time."""
    is_single = data.train_x.device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if is_single else time.perf_counter


def _seconds_of_epoch(program: Program, clock: Callable[[], float]) -> float:
    started = clock()
    program.train_epoch(1)
    return clock() - started
