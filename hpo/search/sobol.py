"""Trials spread evenly over the space: a scrambled Sobol sequence."""

from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from hpo.search.cube import Cube
from hpo.search.proposer import Problem
from hpo.search.seeds import derive_seed


def sobol_point(num_axes: int, number: int, seed: int) -> NDArray[np.float64]:
    """Point `number` of the sequence in the unit cube [num_axes] (Sobol 1967; scrambled: Owen 1998)."""
    sequence = qmc.Sobol(num_axes, rng=derive_seed(seed, 0))
    if number > 0:
        sequence.fast_forward(number)
    point: NDArray[np.float64] = sequence.random(1)[0]
    return point


@final
class Sobol(BaseSampler):
    """The point that belongs to the trial's number; from `num_startup` told trials on, what another sampler draws.

    Optuna's `QMCSampler` keeps its place in the study's attributes, which a study loaded again would not have.
    """

    def __init__(self, problem: Problem, then: BaseSampler | None = None, num_startup: int = 0) -> None:
        self._distributions = dict(problem.distributions)
        self._cube = Cube(problem.distributions)
        self._seed = problem.seed
        self._then = then
        self._num_startup = num_startup

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        then = self._follower(study)
        return self._distributions if then is None else then.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        then = self._follower(study)
        if then is None:
            return self._cube.params(sobol_point(self._cube.num_axes, trial.number, self._seed))
        return then.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        assert self._then is not None  # a Sobol point has every param
        return self._then.sample_independent(study, trial, param_name, param_distribution)

    def _follower(self, study: Study) -> BaseSampler | None:
        if self._then is None:
            return None
        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return self._then if len(told) >= self._num_startup else None
