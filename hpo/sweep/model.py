"""The validated model of a sweep file."""

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, model_validator

from hpo.config import Config
from hpo.ensembles.kinds import AnyEnsemble, Greedy
from hpo.errors import Problem, SweepError
from hpo.records import Goal, Params, TrialRecord, TrialSpec
from hpo.results.finalists import Finalists
from hpo.scheduling import full_budget, is_auto
from hpo.spaces.conditions import Conditions
from hpo.spaces.coordinates import COORDINATES
from hpo.sweep.asked import Asked, or_none
from hpo.sweep.cases import Cases
from hpo.sweep.choosing import Chosen, choose, choose_for_front
from hpo.sweep.dependence import dependence_problems, unmet_problems
from hpo.sweep.effective import coordinate_problems, rate_problems
from hpo.sweep.exporting import Export, limit_problems, register_problems
from hpo.sweep.inert import inert_problems
from hpo.sweep.metrics import Metric, Objective, front_problems, main_metric, metric_problems
from hpo.sweep.population import change_problems, population_problems
from hpo.sweep.rules import (
    control_problems,
    course_problems,
    follows_losses,
    lr_range_problems,
    pair_problems,
    point_problems,
    space_problems,
)
from hpo.sweep.sampling import sampler_problems
from hpo.sweep.scheduling import comparison_problems, ladder_problems, rung_problems
from hpo.sweep.together import (
    average_problems,
    batch_norm_problems,
    fge_problems,
    rival_problems,
    spelling_problems,
    worker_problems,
)
from hpo.training.data import Data
from hpo.training.lr_range import LrRange
from hpo.training.recipe import Recipe, flatten, signature, state_signature, with_params


class Sweep(Asked, Recipe):
    """One sweep: a recipe, and the search around it.

    Raises:
        pydantic.ValidationError: if a field is wrong by itself.
        SweepError: if fields do not fit together; it holds every such problem.
    """

    data: Data
    """What is learned."""
    metrics: tuple[Objective, ...] = ()
    """In place of `metric`, two or three to search at once, for their Pareto front.

    By the first, the main one, trials are ranked, `budget.target` is met, and the best is exported.
    """
    metric: Metric = Field(default_factory=lambda given: main_metric(given["metrics"]))
    """What trials are compared by; of several `metrics` the first."""
    lr_range: LrRange | None = None
    """A learning-rate range test before the search, whose result replaces the bounds of `optimizer.lr`; none: no test.

    They go from a tenth of the suggested rate to the largest stable one, and enclose the rates of `points`.
    """
    finalists: Annotated[Finalists | None, or_none("{count: 5, seeds: 3}")] = None
    """The best trials, trained again on fresh luck after the search; none: the best of the search is the winner."""
    ensemble: Annotated[AnyEnsemble | None, or_none("{kind: greedy, size: 5}")] = Greedy()
    """What becomes of all the networks together when the search is over; none: nothing, but by `hpo ensemble`."""
    export: Export = Export()
    """What becomes of the best model, and of the ensemble."""

    @property
    def recipe(self) -> Recipe:
        """The base of every trial's recipe."""
        return Recipe(**{name: getattr(self, name) for name in Recipe.model_fields})

    def specify(self, trial: TrialRecord) -> TrialSpec:
        """A trial as a worker sees it: the base recipe with the trial's params in place."""
        recipe = with_params(self.recipe, trial.params)
        return TrialSpec(
            trial_id=trial.trial_id,
            recipe=recipe.model_dump_json(),
            signature=signature(recipe),
            seed_index=trial.seed_index,
        )

    def may_follow(self, params: Params, parent: Params) -> bool:
        """Whether a trial with `params` can go on from the state of one with those of `parent`."""
        ours, theirs = (state_signature(with_params(self.recipe, own)) for own in (params, parent))
        return ours == theirs

    @property
    def settings(self) -> Params:
        """What constraints may speak of beside params, by dotted path: what all trials have of the recipe as it is."""
        varied = {path.partition(".")[0] for path in self.space if path.endswith(".kind")}
        taken = {*self.space, *(COORDINATES[path].raw for path in self.space if path in COORDINATES)}
        settings = flatten(self.recipe.as_tree()).items()
        return {
            path: value
            for path, value in settings
            if value is not None and path not in taken and path.partition(".")[0] not in varied
        }

    @property
    def goals(self) -> dict[str, Goal]:
        """Which way each metric is better, the main one first."""
        return {objective.name: objective.goal for objective in (self.metric, *self.metrics[1:])}

    @property
    def conditions(self) -> Conditions:
        """Which params a trial has."""
        return Conditions(self.space, self.constraints, self.settings)

    @property
    def cases(self) -> Cases:
        """What trials may have together."""
        return Cases(recipe=self.recipe, space=self.space, conditions=self.conditions, beside=self.beside)

    @property
    def chosen(self) -> Chosen:
        """Sampler and scheduler, with a choice made where the file leaves one open, as far as the file tells."""
        return self.choose()

    def choose(self, trial_s: float | None = None) -> Chosen:
        """The same, where it is known how long a trial trains to its end, alone on one core."""
        if len(self.goals) > 1:
            return choose_for_front(self.sampler, self.scheduler, self.budget)
        at_once = self.resources.max_concurrent
        return choose(
            self.sampler,
            self.scheduler,
            space=self.space,
            budget=self.budget,
            epochs=self.epochs,
            num_slots=None if at_once == "auto" else at_once,
            trial_s=trial_s,
            follows_losses=next(follows_losses(self.recipe, self.space), None),
        )

    @property
    def beside(self) -> dict[str, Config]:
        """Sections beside the recipe with which its settings have an effect, or that need some of these for theirs."""
        return {"data": self.data, "export": self.export}

    @model_validator(mode="after")
    def _check(self) -> Self:
        sections = {name: getattr(self, name) for name in (*self.beside, *Recipe.model_fields)}
        explicit = {
            f"{section}.{name}"
            for section, config in sections.items()
            if isinstance(config, Config)
            for name in config.model_fields_set
        } | self.model_fields_set
        unclear = dependence_problems(self.space, self.constraints, self.settings)
        in_space = [
            *unclear,
            *space_problems(self.recipe, self.space),
            *coordinate_problems(self.recipe, self.space),
        ]
        half_lives = self.space["ema_half_life"].ends() if "ema_half_life" in self.space else (self.ema_half_life,)
        sampler, scheduler = self.chosen.sampler, self.chosen.scheduler
        num_trials = full_budget(self.budget, scheduler, self.epochs).trials
        problems = [
            *metric_problems(self.metrics, self.space, is_one_given="metric" in self.model_fields_set),
            *front_problems(sampler, scheduler, num_trials, len(self.goals)),
            *(in_space or rate_problems(self.cases)),
            *(() if in_space else change_problems(self.recipe, self.space, scheduler)),
            *point_problems(self.space, self.points),
            *(() if in_space else unmet_problems(self.space, self.constraints, self.settings, self.points)),
            *lr_range_problems(self.lr_range, self.space),
            *rung_problems(scheduler, self.epochs),
            *([] if is_auto(scheduler) else ladder_problems(scheduler, self.budget.trials, self.epochs)),
            *comparison_problems(scheduler, half_lives),
            *pair_problems(sampler, scheduler),
            *population_problems(scheduler, sampler, self.budget, self.epochs),
            *(() if in_space else sampler_problems(sampler, self.conditions, self.space, num_trials)),
            *course_problems(self.recipe, self.space, scheduler),
            *control_problems(self.recipe, self.space, shuffles_labels=self.data.shuffle_labels),
            *register_problems(self.export, is_tracked=self.tracking is not None),
            *limit_problems(self.export, self.ensemble),
            *(() if unclear else self._case_problems(explicit)),
        ]
        if problems:
            raise SweepError(f"sweep {self.name}", problems)
        return self

    def _case_problems(self, explicit: Collection[str]) -> list[Problem]:
        cases = self.cases
        return [
            *rival_problems(cases),
            *spelling_problems(cases),
            *batch_norm_problems(cases),
            *fge_problems(cases, None if self.ensemble is None else self.ensemble.kind),
            *average_problems(cases, self.export.weights),
            *worker_problems(cases, self.resources),
            *inert_problems(cases, explicit),
        ]
