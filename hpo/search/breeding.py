"""Genetic search (NSGA-II, NSGA-III): generations as a function of the trials."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial

from hpo.records import End, EndKind
from hpo.search.distributions import Stored
from hpo.search.drawing import draw
from hpo.search.proposer import Problem
from hpo.search.seeds import derive_seed

KEYS = tuple(sampler._get_generation_key() for sampler in (NSGAIISampler, NSGAIIISampler))
"""Under which Optuna's samplers note the generation of a trial."""


@final
class Breeding:
    """Proposes with a genetic sampler that is shown the trials in generations, by what they cost.

    Each `size` trials that ended are a generation, in the order of their numbers. Optuna's samplers note the generation
    on a trial when they propose it, which a study loaded again would not have; so for every proposal a sampler is shown
    all trials afresh. A diverged one is as bad as the worst in every metric, and violates a constraint, by which it
    ranks below every other. One that was stopped has no place on a front, and like one that failed teaches nothing.
    """

    def __init__(self, problem: Problem, make_sampler: Callable[[int], BaseSampler], size: int) -> None:
        """A search without trials; `make_sampler` is given a seed, for one proposal."""
        self._problem = problem
        self._make_sampler = make_sampler
        self._size = size
        self._trials: list[_Trial] = []

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """See `Proposer`; a trial that waits counts as one that runs, of which nothing is learnt yet."""
        number = len(self._trials)
        sampler = self._make_sampler(derive_seed(self._problem.seed, number))
        storage = InMemoryStorage()
        # Optuna's NSGA-III takes the reference points of any metric for those of one to minimize.
        study = optuna.create_study(storage=storage, directions=["minimize"] * len(self._problem.directions))
        study.add_trials(self._shown())
        beside = optuna.create_study(storage=storage).ask()
        params = draw(sampler, study, beside._trial_id, number, self._problem, point)
        self.add(params)
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs; what it does not have lies in the middle."""
        self._trials.append(_Trial({**self._problem.cube.middle, **params}))

    def skip(self) -> None:
        """A trial that nothing is known of."""
        self._trials.append(_Trial({}))

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """See `Proposer`; only ends are learnt from."""

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """A trial has ended."""
        self._trials[trial_id].end = end

    def _shown(self) -> list[FrozenTrial]:
        ended = [(trial, trial.end) for trial in self._trials if trial.end is not None]
        known = [self._problem.costs(end) for _, end in ended if end.kind is EndKind.COMPLETE]
        worst = [max(column) for column in zip(*known, strict=True)] or [0.0] * len(self._problem.directions)
        told = [(trial, end) for trial, end in ended if end.kind in (EndKind.COMPLETE, EndKind.DIVERGED)]
        return [self._show(trial, end, worst, number // self._size) for number, (trial, end) in enumerate(told)]

    def _show(self, trial: "_Trial", end: End, worst: Sequence[float], generation: int) -> FrozenTrial:
        has_diverged = end.kind is EndKind.DIVERGED
        return create_trial(
            values=worst if has_diverged else self._problem.costs(end),
            params=dict(trial.params),
            distributions=self._problem.distributions,
            constraints={"diverged": 1.0 if has_diverged else -1.0},
            system_attrs=dict.fromkeys(KEYS, generation),
        )


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


@dataclass
class _Trial:
    """A trial that was proposed."""

    params: Mapping[str, Stored]
    """All there are."""
    end: End | None = None
