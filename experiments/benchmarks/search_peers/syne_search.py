"""Syne Tune's ASHA in its stopping form, as its tuner drives it. Variants: asha (random), cqr, bore."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from serving import Peer, Stopping, Task, serve
from syne_tune import config_space
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.baselines import ASHA, ASHABORE, ASHACQR
from syne_tune.optimizer.scheduler import SchedulerDecision

COST, EPOCH = "cost", "epoch"
SCHEDULERS = {"asha": ASHA, "cqr": ASHACQR, "bore": ASHABORE}


class Tuner:
    def __init__(self, task: Task) -> None:
        space = {name: as_domain(domain) for name, domain in task.space.items()}
        self._scheduler = SCHEDULERS[task.variant](
            space,
            metric=COST,
            do_minimize=True,
            time_attr=EPOCH,
            max_t=task.num_epochs,
            grace_period=1,
            reduction_factor=3,
            random_seed=task.seed,
        )
        self._trials: list[Trial] = []

    def begin(self, trial_id: int) -> Mapping[str, Any]:
        suggestion = self._scheduler.suggest()
        trial = Trial(trial_id=trial_id, config=suggestion.config, creation_time=datetime.now())
        self._scheduler.on_trial_add(trial)
        self._trials.append(trial)
        return {name: getattr(value, "item", lambda value=value: value)() for name, value in trial.config.items()}

    def goes_on(self, trial_id: int, epoch: int, cost: float) -> bool:
        trial = self._trials[trial_id]
        decision = self._scheduler.on_trial_result(trial, {COST: cost, EPOCH: epoch})
        if decision != SchedulerDecision.CONTINUE:
            self._scheduler.on_trial_remove(trial)
        return decision == SchedulerDecision.CONTINUE


def as_domain(domain: Mapping[str, Any]) -> Any:
    match domain["distribution"]:
        case "uniform" | "loguniform" | "randint" as kind:
            return getattr(config_space, kind)(domain["min"], domain["max"])
        case _:
            return config_space.choice(domain["values"])


def make(task: Task) -> Peer:
    tuner = Tuner(task)
    return Stopping(tuner.begin, tuner.goes_on, task.num_epochs)


if __name__ == "__main__":
    serve(make)
