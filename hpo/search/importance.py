"""Which params decide whether a trial is among the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.records import TrialRecord
from hpo.search.distributions import distribution_of, encode
from hpo.spaces import Constant, Domain
from hpo.spaces.space import Space

TOP = 0.1
"""Share of trials that count as the best."""
FEWEST_PER_PARAM = 10
"""Trials, of fewer of which importances are a guess."""
NUM_RESAMPLES = 20
MOST_RESAMPLED = 300
"""Trials in a resample, for Optuna takes half a millisecond for each: of more trials intervals are too wide."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Of one param."""

    path: str
    share: float
    """Of the importance of all params, from 0 to 1."""
    low: float
    """From here to `high` lie nine in ten of the shares that other trials of the same kind would give (bootstrap)."""
    high: float


def importances(ranked: Sequence[TrialRecord], space: Space, seed: int = 0) -> list[Importance]:
    """PED-ANOVA: how far values among the best tenth of trials differ from those of all, the most important first.

    Unlike fANOVA it fits no model to bad values, and it knows params of one branch of a conditional space (Watanabe et
    al. 2023). None where trials or params are too few to differ.

    Args:
        ranked: trials of the search, the best first, with those that failed or diverged at the end.
        space: that was searched.
        seed: of the bootstrap.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    domains = {path: domain for path, domain in space.items() if not isinstance(domain, Constant)}
    if round(TOP * len(ranked)) < 2 or len(domains) < 2:
        return []
    shown = [_shown(trial, domains, place) for place, trial in enumerate(ranked)]
    generator, size = np.random.default_rng(seed), min(len(shown), MOST_RESAMPLED)
    drawn = [
        _shares([shown[row] for row in generator.integers(len(shown), size=size)], domains)
        for _ in range(NUM_RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    found = [
        Importance(path=path, share=float(share), low=float(least), high=float(most))
        for path, share, least, most in zip(domains, _shares(shown, domains), low, high, strict=True)
    ]
    return sorted(found, key=lambda each: -each.share)


def _shown(trial: TrialRecord, domains: Mapping[str, Domain], place: int) -> FrozenTrial:
    """To Optuna, with its place for a value: a trial that was stopped early is not compared by how far it got."""
    own = {path: domain for path, domain in domains.items() if path in trial.params}
    return create_trial(
        state=TrialState.COMPLETE,
        value=float(place),
        params={path: encode(domain, trial.params[path]) for path, domain in own.items()},
        distributions={path: distribution_of(domain) for path, domain in own.items()},
    )


def _shares(shown: Sequence[FrozenTrial], domains: Mapping[str, Domain]) -> NDArray[np.float64]:
    study = optuna.create_study(direction="minimize")
    study.add_trials(shown)
    found = PedAnovaImportanceEvaluator(target_quantile=TOP).evaluate(study)
    each = np.array([found.get(path, 0.0) for path in domains])
    return each / each.sum() if each.sum() > 0 else np.full(len(each), 1 / len(each))
