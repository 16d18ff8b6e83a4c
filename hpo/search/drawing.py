"""One proposal by one of Optuna's samplers, for a trial that has only some of the params."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.beliefs import Beliefs, power
from hpo.search.distributions import Stored
from hpo.search.proposer import Problem
from hpo.search.starting import completed, starting_point

MOST_DRAWS = 64
"""Draws of a sampler, before a random one that is allowed takes its place."""
NUM_CANDIDATES = 8
"""Of which one is drawn by how good it is believed to be."""


def draw(
    sampler: BaseSampler, study: Study, notes_on: int, number: int, problem: Problem, point: Mapping[str, Stored]
) -> dict[str, Stored]:
    """The params that the sampler gives to a trial, those of `point` apart, drawn again while they are not allowed.

    Args:
        sampler: asked for one trial.
        study: what it learns from; the trial is not in it yet.
        notes_on: a trial of the same storage, on which the sampler may note what it likes.
        number: of the trial.
        problem: what is searched.
        point: values that are given.

    Raises:
        StudyError: if nothing that is allowed is found at all.
    """
    trial = create_trial(state=TrialState.RUNNING)
    trial.number, trial._trial_id = number, notes_on
    distributions = problem.distributions
    search_space = sampler.infer_relative_search_space(study, trial)
    for _ in range(MOST_DRAWS):
        relative = sampler.sample_relative(study, trial, search_space) | dict(point)

        def value_of(name: str, relative: Mapping[str, Stored] = relative) -> Stored:
            if name in relative:
                return relative[name]
            value: Stored = sampler.sample_independent(study, trial, name, distributions[name])
            return value

        params = problem.shape.walk(value_of)
        if problem.shape.allows(params):
            return params
    return completed(problem, starting_point(problem, "random", number, len(study.trials)), point, number)


@final
class Believing(BaseSampler):
    """Draws several proposals from another sampler, and takes one by how good it is believed to be."""

    def __init__(self, sampler: BaseSampler, problem: Problem, seed: int) -> None:
        self._sampler = sampler
        self._problem = problem
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        cube = self._problem.cube
        drawn = [self._sampler.sample_relative(study, trial, search_space) for _ in range(NUM_CANDIDATES)]
        if not all(drawn):
            return drawn[0]
        num_told = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
        points = np.array([cube.point(params) for params in drawn])
        logs = Beliefs(cube, self._problem.beliefs).log_density(cube.settled(points), power(num_told))
        weights = np.exp(logs - logs.max())
        chosen = np.random.default_rng(self._seed).choice(len(drawn), p=weights / weights.sum())
        return drawn[chosen]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)
