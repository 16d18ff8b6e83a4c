"""CMA-ES as a function of the trials."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import StudyError
from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.search.samplers import Cmaes
from hpo.spaces import Choice, Domain, LogUniform, Uniform
from tests.search.opening import open_study

SPACE: Mapping[str, Domain] = {
    "model.activation": Choice(values=("relu", "gelu")),
    "optimizer.lr": LogUniform(min=1e-4, max=1.0),
    "optimizer.momentum": Uniform(min=0.0, max=1.0),
}


def place(trial: TrialRecord) -> tuple[float, float]:
    lr, momentum = trial.params["optimizer.lr"], trial.params["optimizer.momentum"]
    assert isinstance(lr, float)
    assert isinstance(momentum, float)
    return math.log10(lr) / 4 + 1, momentum


def cost(trial: TrialRecord) -> float:
    x, y = place(trial)
    return (x - 0.6) ** 2 + (y - 0.3) ** 2


def test_the_next_generation_lies_round_the_weighted_mean_of_the_best_half(tmp_path: Path) -> None:
    terms = {"space": SPACE, "sampler": Cmaes(population=8), "metric": "val_loss", "goal": Goal.MINIMIZE}
    with open_study(tmp_path, **terms) as study:
        parents = study.ask(8)
        for trial in parents:
            study.tell(trial.trial_id, End(kind=EndKind.COMPLETE, epoch=27, value=cost(trial)))
        children = study.ask(200)

    # Weights of the best mu = 4 of 8: log 4.5 - log i, made to sum to 1 (Hansen 2016, equations 49 to 53).
    weights = np.log(4.5) - np.log(np.arange(1, 5))
    best = np.array([place(trial) for trial in sorted(parents, key=cost)[:4]])
    expected = weights / weights.sum() @ best
    assert np.mean([place(trial) for trial in children], axis=0) == pytest.approx(expected, abs=0.04)
    assert {trial.params["model.activation"] for trial in children} == {"relu", "gelu"}


def test_the_first_generation_lies_round_the_middle(tmp_path: Path) -> None:
    with open_study(tmp_path, space=SPACE, sampler=Cmaes()) as study:
        places = [place(trial) for trial in study.ask(200)]

    assert np.mean(places, axis=0) == pytest.approx([0.5, 0.5], abs=0.04)
    assert np.std(places, axis=0) == pytest.approx([1 / 6, 1 / 6], abs=0.03)


def test_evolution_finds_the_best_place_and_narrows(tmp_path: Path) -> None:
    with open_study(tmp_path, space=SPACE, sampler=Cmaes(), metric="val_loss", goal=Goal.MINIMIZE) as study:
        for number in range(120):
            [trial] = study.ask(1)
            study.tell(number, End(kind=EndKind.COMPLETE, epoch=27, value=cost(trial)))
        last = [place(trial) for trial in study.trials()[-20:]]

    assert np.mean(last, axis=0) == pytest.approx([0.6, 0.3], abs=0.03)
    assert np.std(last, axis=0).max() < 0.05


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)

    with pytest.raises(StudyError, match="sampler.kind: cmaes needs its package.*pip install cmaes"):
        open_study(tmp_path, sampler=Cmaes())
