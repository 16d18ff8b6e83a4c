"""Generations of a genetic search (NSGA-II, NSGA-III), as a function of the trials."""

import math
from collections.abc import Sequence
from typing import Any, final

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpo.records import EndKind
from hpo.search.hindsight import Past, frozen, has_diverged
from hpo.search.proposer import Problem

KEYS = tuple(sampler._get_generation_key() for sampler in (NSGAIISampler, NSGAIIISampler))
"""Under which Optuna's samplers note the generation of a trial."""


def in_generations(problem: Problem, size: int, trials: Sequence[Past]) -> list[FrozenTrial]:
    """Trials by what they cost, each `size` of them a generation, in the order of their numbers.

    Optuna's samplers note the generation on a trial when they propose it, which a study loaded again would not have.
    A diverged trial is as bad as the worst in every metric, and violates a constraint, by which it ranks below every
    other. One that was stopped has no place on a front, and teaches nothing.
    """
    costs = [_costs(problem, trial) for trial in trials]
    known = [each for each in costs if each is not None]
    worst = [max(each) for each in zip(*known, strict=True)] or [0.0] * len(problem.directions)
    shown, num_born = [], 0
    for trial, reached in zip(trials, costs, strict=True):
        values = worst if has_diverged(trial) else reached
        notes = dict.fromkeys(KEYS, num_born // size) if values is not None else None
        shown.append(frozen(problem, trial, values, notes))
        num_born += values is not None
    return shown


def num_divisions(num_metrics: int, population: int) -> int:
    """Into how many parts each axis is cut by the reference points, of which there are at most `population`.

    With p parts and k metrics there are (p + k - 1)! / (p! (k - 1)!) of them (Das & Dennis 1998), and a population is
    to be about as large (Deb & Jain 2014, section IV.F).
    """
    divisions = 1
    while math.comb(divisions + num_metrics, num_metrics - 1) <= population:
        divisions += 1
    return divisions


@final
class Whole(BaseSampler):
    """All params of a child at once, also the mutated, which Optuna's sampler leaves to be drawn one by one.

    So whoever judges a proposal sees all of it.
    """

    def __init__(self, sampler: NSGAIISampler | NSGAIIISampler, problem: Problem, seed: int) -> None:
        self._sampler = sampler
        self._distributions = problem.distributions
        self._bred = {name: each for name, each in problem.distributions.items() if not each.single()}
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        child = self._sampler.sample_relative(study, trial, self._bred)
        return {
            name: child[name] if name in child else self.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _costs(problem: Problem, trial: Past) -> list[float] | None:
    is_complete = trial.end is not None and trial.end.kind is EndKind.COMPLETE
    return problem.costs(trial.end) if trial.end is not None and is_complete else None
