"""Tree-structured Parzen estimators (TPE)."""

import warnings
from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hpo.search.proposer import Problem

Numbers = NDArray[np.int64]
"""Of trials, rising."""

TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


@final
class Parzen(TPESampler):
    """Optuna's sampler, for one proposal: the same proposals, from what was learnt once for all proposals.

    Optuna's looks at every trial for every proposal: for the params that all have in common, for who is good, and for
    every value. Its private parts are used here, which is why a test holds the two together.
    """

    def __init__(self, experience: "Experience", num_startup: int, seed: int) -> None:
        """`num_startup`: trials that must have ended before the first that is modelled."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of group
            super().__init__(
                seed=seed,
                n_startup_trials=num_startup,
                multivariate=True,  # by default it is so with one metric only
                group=not experience.problem.shape.is_free,
            )
        self._experience = experience

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        problem = self._experience.problem
        if not problem.shape.is_free:
            return super().infer_relative_search_space(study, trial)
        if not study.get_trials(deepcopy=False, states=TOLD):
            return {}
        return {name: range_ for name, range_ in problem.distributions.items() if not range_.single()}

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        good, other = self._experience.below_and_above(study, search_space)
        num_good = len(next(iter(good.values())))
        weights = np.ones(num_good) if self._experience.problem.others else None
        below = _ParzenEstimator(good, search_space, self._parzen_estimator_parameters, weights)
        above = _ParzenEstimator(other, search_space, self._parzen_estimator_parameters)
        candidates = below.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(candidates, self._compute_acquisition_func(candidates, below, above))
        return {name: range_.to_external_repr(best[name]) for name, range_ in search_space.items()}


@final
class Experience:
    """The trials of a study as arrays, and who of them is good, worked out once while none has ended."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._distributions = problem.distributions
        self._values = np.empty((0, len(self._distributions)))  # [trials, params], as Optuna computes with them
        self._below, self._above = np.empty(0, np.int64), np.empty(0, np.int64)
        self._learnt_from: tuple[Study, int] | None = None

    def below_and_above(
        self, study: Study, search_space: Mapping[str, BaseDistribution]
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """Of the best trials that have ended, and of all others, by name: values of those that have all params."""
        trials = study.get_trials(deepcopy=False)
        self._values = np.vstack([self._values, *(self._row(trial) for trial in trials[len(self._values) :])])
        told = [trial for trial in trials if trial.state in TOLD]
        if self._learnt_from != (study, len(told)):
            gamma = default_gamma_multiobjective if self.problem.others else default_gamma
            below, above = _split_trials(study, told, gamma(len(told)))
            self._below, self._above = _numbers(below), _numbers(above)
            self._learnt_from = (study, len(told))
        running = _numbers([trial for trial in trials if trial.state is TrialState.RUNNING])
        above_and_running = np.sort(np.concatenate([self._above, running]))
        return self._observed(self._below, search_space), self._observed(above_and_running, search_space)

    def _row(self, trial: FrozenTrial) -> list[float]:
        return [
            range_.to_internal_repr(trial.params[name]) if name in trial.params else np.nan
            for name, range_ in self._distributions.items()
        ]

    def _observed(
        self, numbers: Numbers, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, NDArray[np.float64]]:
        columns = {name: self._values[numbers, axis] for axis, name in enumerate(self._distributions)}
        columns = {name: columns[name] for name in search_space}
        is_whole = ~np.any([np.isnan(column) for column in columns.values()], axis=0)
        return {name: column[is_whole] for name, column in columns.items()}


def _numbers(trials: list[FrozenTrial]) -> Numbers:
    return np.array([trial.number for trial in trials], dtype=np.int64)
