"""What trials are compared by: one metric, or several at once, and what that asks of a search."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import model_validator

from hpo.config import Config
from hpo.errors import Problem
from hpo.records import Goal
from hpo.scheduling import NoScheduler, Scheduler
from hpo.search.samplers import Grid, Nsga2, Nsga3, Qmc, Random, Sampler, Tpe
from hpo.spaces.space import Space
from hpo.sweep.wording import listed

GOALS = {
    "val_accuracy": Goal.MAXIMIZE,
    "val_loss": Goal.MINIMIZE,
    "num_parameters": Goal.MINIMIZE,
    "seconds": Goal.MINIMIZE,
}
"""Which way is better, by metric."""
FEWEST, MOST = 2, 3
"""Metrics at once: of more, nearly every trial would be on the front."""


class Measure(Config):
    """A number that trials report, and which way it is better."""

    name: str
    goal: Goal


class Objective(Measure):
    """One of several metrics at once."""

    name: Literal["val_accuracy", "val_loss", "num_parameters", "seconds"]
    """As for `metric`, or what a trial costs: parameters of its network, or seconds of its last epoch, by the clock.

    Seconds are a trial's share of what its lanes took together, and differ from time to time: a sweep does not repeat
    with them.
    """
    goal: Goal
    """Which way is better."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.goal is not GOALS[self.name]:
            raise ValueError(
                f"{self.name} must be {GOALS[self.name]}d, but the goal is {self.goal}. Change one of them."
            )
        return self


class Metric(Objective):
    """What trials are compared by."""

    name: Literal["val_accuracy", "val_loss"]
    """Measured on the validation split after every epoch; the loss is in nats, never smoothed."""


def main_metric(metrics: Sequence[Objective]) -> Metric:
    """The first, where it can be the main one; any other where there is none, for a rule to refuse."""
    first = metrics[0] if metrics else None
    match first:
        case Objective(name="val_accuracy" | "val_loss" as name):
            return Metric(name=name, goal=first.goal)
        case _:
            return Metric(name="val_accuracy", goal=Goal.MAXIMIZE)


def metric_problems(metrics: Sequence[Objective], space: Space, *, is_one_given: bool) -> list[Problem]:
    """One metric must be given or several, the main one first, and each must be able to differ between trials."""
    if is_one_given and metrics:
        message = "must be left out beside metrics, of which the first is the main one. Delete it, or delete metrics."
        return [Problem(key="metric", message=message)]
    if not metrics:
        message = "is required, but is missing. Add it."
        return [] if is_one_given else [Problem(key="metric", message=message)]
    names = [objective.name for objective in metrics]
    if len(set(names)) < len(names) or not FEWEST <= len(names) <= MOST:
        message = f"must be {FEWEST} or {MOST} different ones, but got {listed(names)}. Use metric for a single one."
        return [Problem(key="metrics", message=message)]
    problems = []
    if names[0] not in ("val_accuracy", "val_loss"):
        message = (
            f"must be val_accuracy or val_loss, for by the first metric the best trial is chosen, but got {names[0]}. "
            "Name it after them."
        )
        problems.append(Problem(key="metrics.0.name", message=message))
    if "num_parameters" in names and not any(path.startswith("model.") for path in space):
        message = (
            "num_parameters is the same in every trial, for nothing of the model is searched. Search a path such as "
            "model.hidden, or name another metric."
        )
        problems.append(Problem(key=f"metrics.{names.index('num_parameters')}.name", message=message))
    return problems


def front_problems(sampler: Sampler, scheduler: Scheduler, num_trials: int, num_metrics: int) -> list[Problem]:
    """With several metrics every trial must reach the end, and the sampler must know of fronts, or never learn.

    Args:
        sampler: of the sweep.
        scheduler: of the sweep.
        num_trials: of the budget.
        num_metrics: that are searched for at once.
    """
    problems = []
    if num_metrics > 1 and not isinstance(scheduler, NoScheduler):
        message = (
            f"must be none with several metrics, for a trial that is stopped has no place on the front, but got "
            f"{scheduler.kind}. Use scheduler: {{kind: none}}."
        )
        problems.append(Problem(key="scheduler.kind", message=message))
    match sampler:
        case Nsga2() | Nsga3() if num_metrics == 1:
            message = (
                f"{sampler.kind} is for several metrics, but there is one. Write metrics: [..., ...] in place of "
                "metric, or use sampler: {kind: tpe} or {kind: cmaes}."
            )
            problems.append(Problem(key="sampler.kind", message=message))
        case Nsga2() | Nsga3() if sampler.population >= num_trials:
            message = (
                f"must be below the {num_trials} trials of the budget, but got {sampler.population}: no trial would "
                "be bred. Lower it, or raise budget.trials."
            )
            problems.append(Problem(key="sampler.population", message=message))
        case Nsga2() | Nsga3() | Tpe() | Random() | Qmc() | Grid():
            pass
        case _ if num_metrics > 1:
            message = (
                "must be nsga2, nsga3 or tpe with several metrics, or random, qmc or grid, which never learn, but got "
                f"{sampler.kind}, which learns from one metric. Use one of these, or metric in place of metrics."
            )
            problems.append(Problem(key="sampler.kind", message=message))
    return problems
