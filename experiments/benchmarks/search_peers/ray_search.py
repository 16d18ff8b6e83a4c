"""Ray Tune's ASHA, told results as Tune tells them, with OptunaSearch or random draws. Variants: optuna, random."""

import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from optuna_search import as_distribution
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from serving import Peer, Stopping, Task, draw, serve

COST, EPOCH = "cost", "training_iteration"


class RandomSearcher:
    """The two methods of a searcher that are needed here."""

    def __init__(self, task: Task) -> None:
        self._space = task.space
        self._generator = random.Random(task.seed)

    def suggest(self, trial_id: str) -> Mapping[str, Any]:
        return {name: draw(domain, self._generator) for name, domain in self._space.items()}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Learn nothing."""

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Learn nothing."""


class Tune:
    """What Ray Tune does with a result: the scheduler decides, and the searcher is told of the end."""

    def __init__(self, task: Task, searcher: OptunaSearch | RandomSearcher) -> None:
        self._searcher = searcher
        self._scheduler = AsyncHyperBandScheduler(
            time_attr=EPOCH, metric=COST, mode="min", max_t=task.num_epochs, grace_period=1, reduction_factor=4
        )

    def begin(self, trial_id: int) -> Mapping[str, Any]:
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=str(trial_id)))
        return self._searcher.suggest(str(trial_id))

    def goes_on(self, trial_id: int, epoch: int, cost: float) -> bool:
        trial, result = SimpleNamespace(trial_id=str(trial_id)), {COST: cost, EPOCH: epoch}
        if self._scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
            self._searcher.on_trial_complete(trial.trial_id, result)
            return False
        self._searcher.on_trial_result(trial.trial_id, result)
        return True


def make(task: Task) -> Peer:
    match task.variant:
        case "optuna":
            space = {name: as_distribution(domain) for name, domain in task.space.items()}
            tune = Tune(task, OptunaSearch(space=space, metric=COST, mode="min", seed=task.seed))
        case "random":
            tune = Tune(task, RandomSearcher(task))
        case _:
            raise ValueError(f"must be optuna or random, but got {task.variant}.")
    return Stopping(tune.begin, tune.goes_on, task.num_epochs)


if __name__ == "__main__":
    serve(make)
