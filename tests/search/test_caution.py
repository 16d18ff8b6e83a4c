"""Trials that diverge: the sampler leaves the region, with and without early stopping."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpo.records import End, EndKind, Goal, Params, Report, TrialRecord
from hpo.scheduling.halving import Asha, NoScheduler
from hpo.scheduling.ranking import Ranking
from hpo.search.samplers import Cmaes, Coordinate, Curves, Gp, Nsga2, Nsga3, Refine, Sampler, Tpe
from hpo.search.study import Study
from hpo.spaces import Choice, Domain, LogUniform, QUniform, Uniform
from tests.search.opening import open_study

SPACE: Mapping[str, Domain] = {
    "optimizer.lr": LogUniform(min=1e-4, max=1.0),
    "optimizer.momentum": Uniform(min=0.0, max=0.99),
    "optimizer.weight_decay": LogUniform(min=1e-6, max=1e-2),
    "model.dropout": QUniform(min=0.0, max=0.6, q=0.05),
    "batch_size": Choice(values=(32, 64, 128, 256)),
}


@pytest.mark.parametrize(
    "sampler",
    [Tpe(), Gp(), Cmaes(), Curves(), Coordinate(), Refine()],
    ids=["tpe", "gp", "cmaes", "curves", "coordinate", "refine"],
)
@pytest.mark.parametrize(("scheduler", "seed"), [(NoScheduler(), 0), (Asha(), 1)], ids=["no early stopping", "asha"])
def test_at_most_5_of_the_last_25_proposals_diverge_where_half_of_the_space_does(
    tmp_path: Path, sampler: Sampler, scheduler: NoScheduler | Asha, seed: int
) -> None:
    terms = {"space": SPACE, "metric": "val_loss", "goal": Goal.MINIMIZE, "max_epochs": 9, "seed": seed}
    with open_study(tmp_path, **terms, sampler=sampler) as study:
        seen: dict[int, list[float]] = {rung: [] for rung in scheduler.rungs(9)}
        for _ in range(100):
            [trial] = study.ask(1)
            _train(study, trial, scheduler, seen)
        trials = study.trials()

    diverged = [trial.end is not None and trial.end.kind is EndKind.DIVERGED for trial in trials]
    assert any(diverged[:25])
    assert sum(diverged[-25:]) <= 5


@pytest.mark.parametrize("sampler", [Tpe(), Nsga2(), Nsga3()], ids=["tpe", "nsga2", "nsga3"])
def test_so_it_is_with_several_metrics(tmp_path: Path, sampler: Sampler) -> None:
    goals: dict[str, Any] = {"metric": "val_loss", "goal": Goal.MINIMIZE, "others": {"seconds": Goal.MINIMIZE}}
    with open_study(tmp_path, space=SPACE, sampler=sampler, **goals) as study:
        for _ in range(100):
            [trial] = study.ask(1)
            log_lr = _log_lr(trial.params)
            cost, kind = (log_lr + 2.2) ** 2, EndKind.DIVERGED if log_lr > -2.0 else EndKind.COMPLETE
            dropout = trial.params["model.dropout"]
            assert isinstance(dropout, float)
            end = End(kind=kind, epoch=9, value=cost, metrics={"val_loss": cost, "seconds": 1 + dropout})
            study.tell(trial.trial_id, end)
        diverged = [trial.end is not None and trial.end.kind is EndKind.DIVERGED for trial in study.trials()]

    assert any(diverged[:25])
    assert sum(diverged[-25:]) <= 5


def _train(study: Study, trial: TrialRecord, scheduler: NoScheduler | Asha, seen: dict[int, list[float]]) -> None:
    """The best learning rates lie close below those that diverge."""
    if _log_lr(trial.params) > -2.0:
        study.tell(trial.trial_id, End(kind=EndKind.DIVERGED, epoch=1, reason={"first_bad_step": 3}))
        return
    for rung, costs in seen.items():
        cost = (_log_lr(trial.params) + 2.2) ** 2 + 1 / rung
        study.record(Report(trial_id=trial.trial_id, epoch=rung, metrics={"val_loss": cost}))
        costs.append(cost)
        if rung == 9:
            study.tell(trial.trial_id, End(kind=EndKind.COMPLETE, epoch=rung, value=cost))
        elif not scheduler.decide(cost, Ranking(costs)).continues:
            study.tell(trial.trial_id, End(kind=EndKind.STOPPED, epoch=rung, value=cost))
            return


def _log_lr(params: Params) -> float:
    lr = params["optimizer.lr"]
    assert isinstance(lr, float)
    return math.log10(lr)
