"""Random draws from a box round the best trial, which shrinks while nothing is gained."""

import math
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.search.cube import Cube
from hpo.search.proposer import Problem

Vector = NDArray[np.float64]

FIRST_SIDE = 0.5
"""Of the box, as a share of every range."""
MOST_DRAWS = 64
"""Until one was not tried."""


@final
class Box(BaseSampler):
    """Uniform over a box in the unit cube; it is cut at the ends of ranges.

    The best trial is the best of those that were complete, or else of those that were stopped, by the last value. Of a
    param with few values the box holds at least halves of the next ones, and a choice without order is drawn from all
    of its values with the probability that is the side of the box.
    """

    def __init__(
        self, problem: Problem, *, num_startup: int, patience: int, shrink: float, min_side: float, seed: int
    ) -> None:
        """A sampler for one proposal; asked again, it draws again.

        Args:
            problem: what is searched.
            num_startup: told trials after which the side counts.
            patience: trials in a row without a gain after which the box shrinks.
            shrink: what its side is multiplied by.
            min_side: what it does not fall below.
            seed: of the draws.
        """
        self._distributions = dict(problem.distributions)
        self._cube = problem.cube
        self._all = Cube(problem.distributions)
        self._num_startup = num_startup
        self._patience = patience
        self._shrink = shrink
        self._min_side = min_side
        self._rng = np.random.default_rng(seed)
        self._found: tuple[FrozenTrial | None, float] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._found is None:
            self._found = self._best_and_side(study)
        tried = [other.params for other in study.get_trials(deepcopy=False)]
        point = self._draw(*self._found)
        for _ in range(MOST_DRAWS - 1):
            if self._cube.params(point) not in tried:
                break
            point = self._draw(*self._found)
        return dict(self._all.params(point))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise AssertionError("a draw has every param")

    def _best_and_side(self, study: Study) -> tuple[FrozenTrial | None, float]:
        """None where all have diverged."""
        sign = -1.0 if study.direction is StudyDirection.MAXIMIZE else 1.0
        best, best_rank, side, num_misses = None, (2, math.inf), FIRST_SIDE, 0
        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        for number, trial in enumerate(told):
            rank = _rank(trial, sign)
            if rank < best_rank:
                best, best_rank, num_misses = trial, rank, 0
            elif number >= self._num_startup:
                num_misses += 1
            if num_misses == self._patience:
                side, num_misses = max(self._min_side, self._shrink * side), 0
        return best, side

    def _draw(self, best: FrozenTrial | None, side: float) -> Vector:
        num_axes = self._cube.num_axes
        if best is None:
            return self._rng.random(num_axes)
        centre = self._cube.point(best.params)
        ordered = np.array(self._cube.are_ordered)
        cells = np.array([0.0 if num is None else 1 / num for num in self._cube.num_cells])
        reach = np.where(ordered, np.maximum(side / 2, cells), 1.0)
        drawn = self._rng.uniform(np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0))
        stays = ~ordered & (self._rng.random(num_axes) >= side)
        return np.where(stays, centre, drawn)


def _rank(trial: FrozenTrial, sign: float) -> tuple[int, float]:
    """The least is the best."""
    if any(value > 0 for value in trial.constraints.values()):
        return 2, math.inf
    assert trial.value is not None  # the mirror tells no other trial as complete or pruned
    return int(trial.state is not TrialState.COMPLETE), sign * trial.value
