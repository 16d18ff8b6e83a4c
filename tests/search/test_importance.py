"""Params that decide who is among the best, against Optuna's own and against what was built in."""

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from hpo.records import Params, TrialRecord
from hpo.search.importance import importances
from hpo.spaces import parse_space

SPACE = parse_space({"a": "loguniform(1e-3, 1)", "b": "uniform(0, 1)", "c": "choice(x, y, z)", "fixed": "constant(1)"})


def ranked(num: int, seed: int = 0) -> list[TrialRecord]:
    """Trials whose `a` decides, the best first."""
    generator = np.random.default_rng(seed)
    params: list[Params] = [
        {"a": float(10 ** generator.uniform(-3, 0)), "b": generator.random(), "c": str(generator.choice(list("xyz")))}
        for _ in range(num)
    ]
    params.sort(key=lambda each: abs(np.log10(float(str(each["a"]))) + 1))
    return [TrialRecord(trial_id=number, params=own, seed_index=0) for number, own in enumerate(params)]


def test_shares_are_optunas_of_the_trials_by_their_place() -> None:
    trials, study = ranked(200), optuna.create_study()
    domains = {
        "a": optuna.distributions.FloatDistribution(1e-3, 1, log=True),
        "b": optuna.distributions.FloatDistribution(0, 1),
        "c": optuna.distributions.CategoricalDistribution(["x", "y", "z"]),
    }
    for place, trial in enumerate(trials):
        study.add_trial(create_trial(value=place, params=dict(trial.params), distributions=domains))
    expected = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.1))

    found = importances(trials, SPACE)

    assert {each.path: each.share for each in found} == pytest.approx(expected)
    assert [each.path for each in found] == sorted(expected, key=lambda path: -expected[path])


def test_the_param_that_decides_has_the_largest_share_and_an_interval_above_the_others() -> None:
    first, *others = importances(ranked(200), SPACE)

    assert first.path == "a"
    assert first.low <= first.share <= first.high
    assert all(first.low > other.high for other in others)


def test_a_param_of_one_branch_counts_by_the_trials_that_have_it() -> None:
    trials = [
        TrialRecord(
            trial_id=each.trial_id,
            params={path: value for path, value in each.params.items() if path != "b" or each.params["c"] == "x"},
            seed_index=0,
        )
        for each in ranked(200)
    ]

    found = importances(trials, SPACE)

    assert {each.path for each in found} == {"a", "b", "c"}
    assert found[0].path == "a"
    assert sum(each.share for each in found) == pytest.approx(1)


def test_nothing_is_said_of_a_few_trials_or_of_one_param() -> None:
    assert importances(ranked(9), SPACE) == []
    assert importances(ranked(200), {"a": SPACE["a"]}) == []
