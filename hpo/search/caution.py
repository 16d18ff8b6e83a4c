"""Staying away from where trials diverge."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hpo.search.distributions import coordinates
from hpo.search.risk import Risk, learn_risk

MOST_RISK = 0.2
"""The chance of divergence above which a proposal is drawn again."""
MOST_DRAWS = 16
"""Proposals to choose from; if all are too risky, the least risky is taken."""


@final
class Cautious(BaseSampler):
    """Draws from another sampler again while a proposal is likely to diverge.

    A density model such as TPE's smooths over an edge: where the best learning rates lie close below those that
    diverge, a quarter of its proposals falls over it, however the diverged trials are told. A logistic regression on
    where trials diverged (marked by a violated constraint) and where they did not sees the edge.
    """

    def __init__(self, sampler: BaseSampler, caution: "Caution") -> None:
        self._sampler = sampler
        self._caution = caution

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        proposal = self._sampler.sample_relative(study, trial, search_space)
        risk = self._caution.risk(study, search_space) if proposal else Risk(None)
        if not risk.is_known:
            return proposal
        safest, least_risk = proposal, _risk_of(risk, proposal, search_space)
        for _ in range(MOST_DRAWS - 1):
            if least_risk <= MOST_RISK:
                break
            proposal = self._sampler.sample_relative(study, trial, search_space)
            risk_here = _risk_of(risk, proposal, search_space)
            if risk_here < least_risk:
                safest, least_risk = proposal, risk_here
        return safest

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


@final
class Caution:
    """The chance of divergence, learnt once from the same trials."""

    def __init__(self) -> None:
        self._risk = Risk(None)
        self._learnt_from: tuple[list[FrozenTrial], list[str]] | None = None

    def risk(self, study: Study, search_space: dict[str, BaseDistribution]) -> Risk:
        """By the trials of `study` that have ended."""
        told = _told(study, search_space)
        source = (told, list(search_space))
        if self._learnt_from != source:
            self._risk, self._learnt_from = _learn(told, search_space), source
        return self._risk


def _told(study: Study, search_space: dict[str, BaseDistribution]) -> list[FrozenTrial]:
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if search_space.keys() <= trial.params.keys()]


def _learn(trials: Sequence[FrozenTrial], search_space: dict[str, BaseDistribution]) -> Risk:
    diverged = np.array([any(value > 0 for value in trial.constraints.values()) for trial in trials], dtype=bool)
    return learn_risk(np.array([coordinates(trial.params, search_space) for trial in trials]), diverged)


def _risk_of(risk: Risk, params: dict[str, Any], search_space: dict[str, BaseDistribution]) -> float:
    return float(risk(np.array([coordinates(params, search_space)]))[0])
