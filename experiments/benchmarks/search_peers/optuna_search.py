"""Optuna by ask and tell, on full trainings or with a pruner. Variants: tpe, gp, hyperband, halving (TPE both)."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, TrialState
from serving import Job, Peer, Stopping, Task, serve


class FullTrainings:
    """Trials are told when they end."""

    def __init__(self, task: Task, sampler: optuna.samplers.BaseSampler) -> None:
        self._study = optuna.create_study(sampler=sampler)
        self._distributions = {name: as_distribution(domain) for name, domain in task.space.items()}
        self._num_epochs = task.num_epochs

    def suggest(self) -> Job:
        trial = self._study.ask(self._distributions)
        return Job(trial_id=trial.number, params=trial.params, to_epoch=self._num_epochs)

    def observe(self, trial_id: int, epoch: int, cost: float) -> None:
        if epoch == self._num_epochs:
            self._study.tell(trial_id, cost)


class Pruned:
    """Trials report every epoch, and are told as pruned when the pruner says so."""

    def __init__(self, task: Task, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner) -> None:
        self._study = optuna.create_study(sampler=sampler, pruner=pruner)
        self._distributions = {name: as_distribution(domain) for name, domain in task.space.items()}
        self._num_epochs = task.num_epochs
        self._trials: list[Trial] = []

    def begin(self, trial_id: int) -> Mapping[str, Any]:
        self._trials.append(self._study.ask(self._distributions))
        return self._trials[trial_id].params

    def goes_on(self, trial_id: int, epoch: int, cost: float) -> bool:
        trial = self._trials[trial_id]
        trial.report(cost, epoch)
        if epoch == self._num_epochs:
            self._study.tell(trial, cost)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
            return False
        return True


def as_distribution(domain: Mapping[str, Any]) -> BaseDistribution:
    match domain["distribution"]:
        case "uniform" | "loguniform" as kind:
            return FloatDistribution(domain["min"], domain["max"], log=kind == "loguniform")
        case "randint":
            return IntDistribution(domain["min"], domain["max"])
        case _:
            return CategoricalDistribution(domain["values"])


def make(task: Task) -> Peer:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tpe = optuna.samplers.TPESampler(seed=task.seed)
    match task.variant:
        case "tpe":
            return FullTrainings(task, tpe)
        case "gp":
            return FullTrainings(task, optuna.samplers.GPSampler(seed=task.seed))
        case "hyperband":
            pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=task.num_epochs, reduction_factor=3)
        case "halving":
            pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        case _:
            raise ValueError(f"must be tpe, gp, hyperband or halving, but got {task.variant}.")
    pruned = Pruned(task, tpe, pruner)
    return Stopping(pruned.begin, pruned.goes_on, task.num_epochs)


if __name__ == "__main__":
    serve(make)
