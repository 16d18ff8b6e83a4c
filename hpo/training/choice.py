"""How many lanes: measured on the device that trains, once for each signature."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from hpo.training.examples import TrainingData
from hpo.training.lanes import Lanes
from hpo.training.luck import Luck
from hpo.training.models import Custom
from hpo.training.optimizers import LaneOptimizer
from hpo.training.program import Program
from hpo.training.ranks import ALONE, Ranks
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
FEW = 16
"""Lanes from which the measuring starts, where there are trials enough: fewer were never best."""
MOST = 256
"""Lanes, at most."""
SLOW_STEP_S = 5e-3
"""On a processor, a solo step that takes longer is bound by arithmetic, and is not helped by company."""
TAME_LR = 1e-9
"""With which no trial diverges while it is timed."""
NUM_STEPS = 4
"""Timed at once."""
LEAST_ROUNDS, NUM_ROUNDS = 2, 3
"""Of which the best counts: what disturbs a measurement only ever slows it."""
LEAST_MEASURED_S, MOST_MEASURED_S = 0.01, 0.1
"""Quick steps are timed for more rounds, and slow ones for fewer."""

LaneSetting = int | Literal["auto"]
"""Lanes by hand, or as measured."""
Seconds = Callable[[int], float]
"""Of a step for each trial, with so many lanes; 1 is solo. Infinite where they do not fit into memory."""


def most_lanes(seconds: Seconds, num_trials: int, limit: int = MOST) -> int:
    """How many lanes give so many trials the highest throughput; 1 if that is not `LEAST_GAIN` times solo's.

    Tries the powers of two that the trials fill: from `FEW` upwards while doubling pays, downwards where memory ends,
    and bisects for the most that fit.

    Args:
        seconds: measured when asked for.
        num_trials: of one signature, two or more.
        limit: of lanes.
    """
    filled = 1 << (min(num_trials, limit).bit_length() - 1)
    lanes = min(filled, FEW)
    while lanes > 1 and math.isinf(seconds(lanes)):
        lanes //= 2
    if lanes < min(filled, FEW):
        lanes = _most_that_fit(seconds, lanes, lanes * 2)
    if lanes == 1 or seconds(lanes) > seconds(1):
        return 1  # more would have to be paid for, and have never turned a loss into a gain
    best, num_misses = lanes, 0
    while lanes >= FEW and lanes < filled and num_misses < MOST_MISSES:
        lanes *= 2
        if math.isinf(seconds(lanes)):
            fitting = _most_that_fit(seconds, lanes // 2, lanes)
            best = fitting if seconds(fitting) < seconds(best) else best
            break
        num_misses = num_misses + 1 if seconds(lanes) * LEAST_RISE > seconds(best) else 0
        best = lanes if seconds(lanes) < seconds(best) else best
    if seconds(best) * LEAST_GAIN > seconds(1):
        return 1
    return min(num_trials, limit) if best == filled else best


def _most_that_fit(seconds: Seconds, fits: int, too_many: int) -> int:
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if math.isinf(seconds(middle)):
            too_many = middle
        else:
            fits = middle
    return fits


@dataclass
class LaneChoice:
    """How many lanes are best on this worker's device; what was measured for a signature is remembered."""

    setting: LaneSetting
    data: TrainingData
    _known: dict[str, dict[int, float]] = field(default_factory=dict)
    """Seconds of a step for each trial, by signature and lanes."""
    _alone: set[str] = field(default_factory=set)
    """Signatures for which lanes are out of the question."""

    def for_group(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> int:
        """How many of these trials to train side by side; 1: each alone.

        Args:
            recipes: of one signature.
            states: where the trials stand; they are left as they are.
        """
        if len(recipes) == 1 or self.setting == 1 or not isinstance(recipes[0].optimizer, LaneOptimizer):
            return 1
        key = signature(recipes[0])
        with torch.random.fork_rng(devices=[]):
            if key not in self._known and not self._may_share(recipes, states):
                self._alone.add(key)
            known = self._known.setdefault(key, {})
            if key in self._alone:
                return 1
            if self.setting != "auto":
                return self.setting

            def seconds(lanes: int) -> float:
                if lanes not in known:
                    known[lanes] = self._seconds_of_step(recipes[0], states[0], lanes)
                return known[lanes]

            return most_lanes(seconds, len(recipes))

    def _may_share(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> bool:
        """Whether lanes are worth a measurement: not where arithmetic binds, or where they would not equal solo."""
        model = recipes[0].model
        if self.setting == "auto" and self._is_bound_by_arithmetic(recipes[0], states[0]):
            return False
        if isinstance(model, Custom) and (reason := why_not_lanes(recipes, self.data, states)):
            logger.warning("%s trains one trial at a time: %s.", model.factory, reason)
            return False
        return True

    def _is_bound_by_arithmetic(self, recipe: Recipe, state: TrialState) -> bool:
        """As are, on a processor, all steps that take long."""
        if self.data.train_x.device.type != "cpu":
            return False
        program, clock = self._tame(recipe, state, lanes=1, num_steps=1), _clock(self.data)
        return min(_seconds_of_epoch(program, clock) for _ in range(2)) > SLOW_STEP_S

    def _seconds_of_step(self, recipe: Recipe, state: TrialState, lanes: int) -> float:
        try:
            program, clock = self._tame(recipe, state, lanes, NUM_STEPS), _clock(self.data)
            seconds = [_seconds_of_epoch(program, clock) for _ in range(LEAST_ROUNDS)]
            while sum(seconds) < (MOST_MEASURED_S if len(seconds) < NUM_ROUNDS else LEAST_MEASURED_S):
                seconds.append(_seconds_of_epoch(program, clock))
        except torch.OutOfMemoryError:
            return math.inf
        return min(seconds) / (NUM_STEPS * lanes)

    def _tame(self, recipe: Recipe, state: TrialState, lanes: int, num_steps: int) -> Program:
        """A program that cannot diverge, whose epoch has `num_steps`, or fewer where the data end."""
        num_examples = num_steps * recipe.batch_size
        part = replace(self.data, train_x=self.data.train_x[:num_examples], train_y=self.data.train_y[:num_examples])
        tame = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"lr": TAME_LR})})
        return make_program([tame] * lanes, part, Luck(0, 0), [state] * lanes)


def make_program(
    recipes: Sequence[Recipe],
    data: TrainingData,
    luck: Luck,
    states: Sequence[TrialState],
    ranks: Ranks = ALONE,
) -> Program:
    """Trials side by side; a single one alone, as plain PyTorch, on as many `ranks` as there are."""
    if len(recipes) == 1:
        return Solo(recipes[0], data, luck, states[0], ranks=ranks)
    assert ranks.number == 1, "lanes train in one process"
    return Lanes(recipes, data, luck, states)


def _clock(data: TrainingData) -> Callable[[], float]:
    """Of processor time, where one thread trains: what else the machine does is then not counted; else of wall time."""
    is_single = data.train_x.device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if is_single else time.perf_counter


def _seconds_of_epoch(program: Program, clock: Callable[[], float]) -> float:
    started = clock()
    program.train_epoch(1)
    return clock() - started
