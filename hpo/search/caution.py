"""Staying away from where trials diverge."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hpo.search.distributions import coordinates

MOST_RISK = 0.2
"""The chance of divergence above which a proposal is drawn again."""
MOST_DRAWS = 16
"""Proposals to choose from; if all are too risky, the least risky is taken."""
RIDGE = 0.01
"""Penalty on squared weights: small, for the edge of divergence is sharp."""
MOST_NEWTON_STEPS = 12

_Vector = NDArray[np.float64]


@final
class Cautious(BaseSampler):
    """Draws from another sampler again while a proposal is likely to diverge.

    A density model such as TPE's smooths over an edge: where the best learning rates lie close below those that
    diverge, a quarter of its proposals falls over it, however the diverged trials are told. A logistic regression on
    where trials diverged (marked by a violated constraint) and where they did not sees the edge.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        proposal = self._sampler.sample_relative(study, trial, search_space)
        risk_model = _fit(_told(study, search_space), search_space) if proposal else None
        if risk_model is None:
            return proposal
        safest, least_risk = proposal, _risk(risk_model, proposal, search_space)
        for _ in range(MOST_DRAWS - 1):
            if least_risk <= MOST_RISK:
                break
            proposal = self._sampler.sample_relative(study, trial, search_space)
            risk = _risk(risk_model, proposal, search_space)
            if risk < least_risk:
                safest, least_risk = proposal, risk
        return safest

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def _told(study: Study, search_space: dict[str, BaseDistribution]) -> list[FrozenTrial]:
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if search_space.keys() <= trial.params.keys()]


def _fit(trials: Sequence[FrozenTrial], search_space: dict[str, BaseDistribution]) -> _Vector | None:
    """Weights of a ridge logistic regression, by Newton's method; none until some diverged and some did not."""
    diverged = np.array([any(value > 0 for value in trial.constraints.values()) for trial in trials], dtype=float)
    if not 0 < diverged.sum() < len(trials):
        return None
    features = np.array([_features(trial.params, search_space) for trial in trials])
    weights = np.zeros(features.shape[1])
    for _ in range(MOST_NEWTON_STEPS):
        risks = _sigmoid(features @ weights)
        gradient = features.T @ (risks - diverged) + RIDGE * weights
        curvature = (features.T * (risks * (1 - risks))) @ features + RIDGE * np.eye(len(weights))
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def _risk(weights: _Vector, params: dict[str, Any], search_space: dict[str, BaseDistribution]) -> float:
    return float(_sigmoid(_features(params, search_space) @ weights))


def _features(params: dict[str, Any], search_space: dict[str, BaseDistribution]) -> _Vector:
    """Coordinates, their squares (an edge may have two sides) and a constant."""
    point = np.array(coordinates(params, search_space))
    return np.concatenate([[1.0], point, point**2])


def _sigmoid(logits: _Vector) -> _Vector:
    return 0.5 * (1 + np.tanh(0.5 * logits))
