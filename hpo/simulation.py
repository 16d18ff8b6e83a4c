"""simulate(): a whole search over learning curves that are known before, in virtual time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from hpo.config import Config
from hpo.curves import Curves, CurveSource
from hpo.driver.driver import Driver
from hpo.driver.shelf import Shelf
from hpo.errors import Problem, SweepError
from hpo.execution.simulated import SimulatedExecutor
from hpo.records import Goal, Params, Report, TrialRecord, TrialSpec
from hpo.scheduling import Budget, full_budget
from hpo.search.study import Study
from hpo.search.terms import Search
from hpo.spaces.conditions import Conditions
from hpo.spaces.space import Space
from hpo.spaces.values import Value
from hpo.sweep import Metric, Retries
from hpo.sweep.choosing import AnySampler, AnyScheduler, Auto, Chosen, choose
from hpo.sweep.dependence import dependence_problems, unmet_problems
from hpo.sweep.metrics import front_problems
from hpo.sweep.population import population_problems
from hpo.sweep.rules import pair_problems, point_problems
from hpo.sweep.sampling import sampler_problems
from hpo.sweep.scheduling import comparison_problems, ladder_problems, rung_problems
from hpo.tracking.tracker import NullTracker

MOST_KEPT = 1024
"""Curves, for trials that go on."""


class Simulation(Config):
    """What a sweep file says of a search, and curves in place of a recipe and data.

    Raises:
        pydantic.ValidationError: if a field is wrong by itself.
        SweepError: if fields do not fit together.
    """

    curves: CurveSource
    """What trials measure."""
    space: Space
    """What is searched: the names of the curves' params -> domain."""
    constraints: tuple[str, ...] = ()
    """Comparisons of params that hold for every trial."""
    points: tuple[Mapping[str, Value], ...] = ()
    """Tried first."""
    epochs: Annotated[int, Field(ge=1)]
    """Full length of a trial."""
    metric: Metric = Metric(name="val_accuracy", goal=Goal.MAXIMIZE)
    """What trials are compared by."""
    sampler: AnySampler = Auto()
    """What proposes params."""
    scheduler: AnyScheduler = Auto()
    """Who trains on."""
    budget: Budget = Budget()
    """What may be spent; its minutes are virtual."""
    retries: Retries = Retries(error=0)
    """What is tried again: a curve that is not there will not be there next time."""
    num_slots: Annotated[int, Field(ge=1)] = 1
    """Segments that run at once."""
    epoch_s: Annotated[float, Field(gt=0)] = 60.0
    """Virtual seconds of an epoch where the curves do not say; when long, trials travel alone."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of proposals."""

    @property
    def chosen(self) -> Chosen:
        """Sampler and scheduler, with a choice made where one is left open."""
        return choose(
            self.sampler,
            self.scheduler,
            space=self.space,
            budget=self.budget,
            epochs=self.epochs,
            num_slots=self.num_slots,
        )

    @property
    def conditions(self) -> Conditions:
        """Which params a trial has."""
        return Conditions(self.space, self.constraints)

    def specify(self, trial: TrialRecord) -> TrialSpec:
        """The params stand for the recipe."""
        return TrialSpec(trial_id=trial.trial_id, recipe=json.dumps(trial.params), seed_index=trial.seed_index)

    def may_follow(self, params: Params, parent: Params) -> bool:
        """Curves know no state: a child measures what its own params would have from there on."""
        return True

    @model_validator(mode="after")
    def _check(self) -> Self:
        unclear = dependence_problems(self.space, self.constraints, {})
        sampler, scheduler = self.chosen.sampler, self.chosen.scheduler
        num_trials = full_budget(self.budget, scheduler, self.epochs).trials
        problems = [
            *unclear,
            *point_problems(self.space, self.points),
            *(() if unclear else unmet_problems(self.space, self.constraints, {}, self.points)),
            *rung_problems(scheduler, self.epochs),
            *ladder_problems(scheduler, self.budget.trials, self.epochs),
            *comparison_problems(scheduler, half_lives=(0,)),
            *pair_problems(sampler, scheduler),
            *front_problems(sampler, scheduler, num_trials, num_metrics=1),
            *population_problems(scheduler, sampler, self.budget, self.epochs),
            *(() if unclear else sampler_problems(sampler, self.conditions, self.space, num_trials)),
        ]
        if problems:
            raise SweepError("simulation", problems)
        return self


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A report, and when it came."""

    at_s: float
    """Virtual seconds since the start."""
    report: Report


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What a simulation came to."""

    trials: list[TrialRecord]
    history: list[Measured]
    """In order of arrival."""
    elapsed_s: float
    """Virtual."""


def simulate(simulation: Simulation, folder: Path) -> Simulated:
    """Search as the simulation says: with the study, scheduler, packing, budget and driver of any sweep.

    An interrupt comes out of it, and leaves the study in `folder` with its trials as they stood.

    Raises:
        DataError: if the curves cannot be read.
        SweepError: if the space or the number of epochs is not that of the curves.
        TrialsFailedError: if trial after trial fails alike.
    """
    curves = simulation.curves.load(simulation.metric.name)
    _check_curves(simulation, curves)
    curve_of = lru_cache(MOST_KEPT)(lambda recipe: curves.curve(json.loads(recipe)))
    executor = SimulatedExecutor(
        lambda spec: curve_of(spec.recipe),
        num_slots=simulation.num_slots,
        epoch_s=simulation.epoch_s,
    )
    history: list[Measured] = []
    metric = simulation.metric
    with _open_study(simulation, folder) as study:
        driver = Driver(
            simulation,
            study,
            NullTracker(),
            lambda _: None,
            num_slots=lambda: executor.num_slots,
            clock=executor.clock,
            shelf=Shelf({metric.name: metric.goal}, discard=lambda _: None),  # a simulated checkpoint is no file
        )

        def on_report(report: Report) -> None:
            history.append(Measured(at_s=executor.clock(), report=report))
            driver.on_report(report)

        executor.run(driver.next_segment, on_report, driver.on_segment_end)
        return Simulated(trials=study.trials(), history=history, elapsed_s=executor.clock())


def _check_curves(simulation: Simulation, curves: Curves) -> None:
    problems = []
    if set(simulation.space) != set(curves.names):
        known, searched = ", ".join(sorted(curves.names)), ", ".join(sorted(simulation.space))
        message = f"must search the params of the curves, which are {known}, but searches {searched}. Search the same."
        problems.append(Problem(key="space", message=message))
    if simulation.epochs > curves.num_epochs:
        message = f"must be at most the {curves.num_epochs} of the curves, but got {simulation.epochs}. Lower it."
        problems.append(Problem(key="epochs", message=message))
    if problems:
        raise SweepError("simulation", problems)


def _open_study(simulation: Simulation, folder: Path) -> Study:
    return Study.open(
        folder / "study.db",
        Search(
            space=simulation.space,
            metric=simulation.metric.name,
            goal=simulation.metric.goal,
            max_epochs=simulation.epochs,
            sampler=simulation.chosen.sampler,
            seed=simulation.seed,
            constraints=simulation.constraints,
            points=simulation.points,
        ),
    )
