"""Where a search begins: points spread over the space, at random or evenly, near what is expected to be good."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import StudyError
from hpo.search.beliefs import Beliefs, power
from hpo.search.cube import Cube
from hpo.search.distributions import Stored
from hpo.search.proposer import Problem
from hpo.search.seeds import derive_seed

Start = Literal["random", "qmc"]

MOST_TRIED = 20_000
"""Points, before a space is taken to have none that is allowed."""
_NOTHING_ALLOWED = (
    f"the constraints must leave something to try, but none of {MOST_TRIED} points of the space is allowed. "
    "Loosen them, or narrow the space to where they hold."
)


def starting_point(problem: Problem, start: Start, number: int, num_measured: int) -> NDArray[np.float64]:
    """Where trial `number` lies in the cube [D], when `num_measured` trials have been.

    Raises:
        StudyError: if no point is found that breaks no constraint.
    """
    cube = problem.cube
    beliefs = Beliefs(cube, problem.beliefs)
    points = (_even if start == "qmc" else _random)(cube.num_axes, number, problem.seed)
    for attempt, point in enumerate(islice(points, MOST_TRIED)):
        placed: NDArray[np.float64] = beliefs.drawn(point[None], power(num_measured))[0]
        if number == 0 and attempt == 0:
            placed = beliefs.expected(placed)
        if cube.settled(placed[None]).allowed[0]:
            return placed
    raise StudyError(_NOTHING_ALLOWED)


def completed(
    problem: Problem, point: NDArray[np.float64], given: Mapping[str, Stored], number: int
) -> dict[str, Stored]:
    """The params of trial `number` at a point [D], but for those that are given; elsewhere, where that is not allowed.

    Raises:
        StudyError: if no point is found that breaks no constraint.
    """
    tried = chain([point], islice(_random(problem.cube.num_axes, number, problem.seed), MOST_TRIED))
    for place in tried:
        params = problem.cube.params(place, given)
        if problem.shape.allows(params):
            return params
    raise StudyError(_NOTHING_ALLOWED)


@final
class Starting(BaseSampler):
    """The point that belongs to the trial's number; from `num_startup` told trials on, what another sampler draws.

    Optuna's `QMCSampler` keeps its place in the study's attributes, which a study loaded again would not have.
    """

    def __init__(self, problem: Problem, start: Start, then: BaseSampler | None = None, num_startup: int = 0) -> None:
        self._problem = problem
        self._start: Start = start
        self._then = then
        self._num_startup = num_startup

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        then = self._follower(study)
        return self._problem.distributions if then is None else then.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        then = self._follower(study)
        if then is not None:
            return then.sample_relative(study, trial, search_space)
        point = starting_point(self._problem, self._start, trial.number, len(_told(study)))
        return dict(Cube(self._problem.distributions).params(point))  # of all params: which it has is not said yet

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        assert self._then is not None  # a point has every param
        return self._then.sample_independent(study, trial, param_name, param_distribution)

    def _follower(self, study: Study) -> BaseSampler | None:
        return self._then if self._then is not None and len(_told(study)) >= self._num_startup else None


def _even(num_axes: int, number: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Point `number` of a scrambled Sobol sequence; in its place, where it is not allowed, random ones."""
    from hpo.search.sobol import sobol_point  # noqa: PLC0415 - needs scipy

    yield sobol_point(num_axes, number, seed)
    yield from _random(num_axes, number, seed)


def _random(num_axes: int, number: int, seed: int) -> Iterator[NDArray[np.float64]]:
    generator = np.random.default_rng(derive_seed(seed, number))
    while True:
        yield generator.random(num_axes)


def _told(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
