"""Evolution of a normal distribution over the space (CMA-ES)."""

import importlib
from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import StudyError
from hpo.search.beliefs import Beliefs
from hpo.search.cube import Cube
from hpo.search.proposer import Problem

FIRST_SIGMA = 1 / 6
"""Standard deviation of the first generation, about the middle of the unit cube or what is expected to be good."""


@final
class Evolution(BaseSampler):
    """Covariance matrix adaptation over the params that are numbers (Hansen 2016); choices are drawn independently.

    Optuna's `CmaEsSampler` keeps its state in the trials' attributes, which a study loaded again would not have. This
    one is a function of the complete trials: in the order of their numbers, each `population` of them is a generation,
    by whatever distribution they were drawn.
    """

    def __init__(self, generations: "Generations", seed: int) -> None:
        """A sampler for one proposal; asked again, it draws again."""
        self._generations = generations
        self._random = RandomSampler(seed=seed)
        self._seed = seed
        self._strategy: Any = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self._generations.numbers)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._strategy is None:
            self._strategy = self._generations.after(study)
            self._strategy.reseed_rng(self._seed)
        return self._generations.cube.params(self._strategy.ask())

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)


@final
class Generations:
    """What evolution has come to, worked out once for the same complete trials."""

    def __init__(self, problem: Problem, population: int | None) -> None:
        """`population` None: 4 + 3 log d, rounded down."""
        self.numbers = {
            name: distribution
            for name, distribution in problem.distributions.items()
            if not isinstance(distribution, CategoricalDistribution)
        }
        self.cube = Cube(self.numbers)
        beliefs = {name: belief for name, belief in problem.beliefs.items() if name in self.numbers}
        self._mean = Beliefs(self.cube, beliefs).expected(np.full(self.cube.num_axes, 0.5))
        self._population = population
        self._strategy: Any = None
        self._learnt_from: tuple[Study, int] | None = None

    def after(self, study: Study) -> Any:
        """The strategy after the complete trials of `study`, which do not change."""
        told = study.get_trials(False, (TrialState.COMPLETE,))
        if self._learnt_from != (study, len(told)):
            self._strategy = self._evolved(study.direction, told)
            self._learnt_from = (study, len(told))
        return self._strategy

    def _evolved(self, direction: StudyDirection, trials: Sequence[FrozenTrial]) -> Any:
        strategy = load_cmaes().CMA(
            mean=self._mean,
            sigma=FIRST_SIGMA,
            bounds=np.tile([0.0, 1.0], (self.cube.num_axes, 1)),
            population_size=self._population,
        )
        sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
        told = [self._solution(trial, sign) for trial in trials]
        size = strategy.population_size
        for first in range(0, len(told) - size + 1, size):
            strategy.tell(told[first : first + size])
        return strategy

    def _solution(self, trial: FrozenTrial, sign: float) -> tuple[NDArray[np.float64], float]:
        assert trial.value is not None
        return self.cube.point({name: trial.params[name] for name in self.numbers}), sign * trial.value


def load_cmaes() -> Any:
    """The package that does the arithmetic; optional.

    Raises:
        StudyError: if it is not installed.
    """
    try:
        return importlib.import_module("cmaes")
    except ModuleNotFoundError:
        raise StudyError("sampler.kind: cmaes needs its package, which is not installed. pip install cmaes.") from None
