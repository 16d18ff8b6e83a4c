"""The validated model of a sweep file whose trials are trained by something of the user's own."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from hpo.errors import Problem, SweepError
from hpo.programs.command import PLACES, command_problem
from hpo.programs.trial import RESERVED
from hpo.records import Goal, Params, TrialRecord, TrialSpec
from hpo.scheduling import full_budget
from hpo.spaces import Constant
from hpo.spaces.conditions import Conditions
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.values import Value
from hpo.sweep.asked import Asked
from hpo.sweep.choosing import Chosen, choose
from hpo.sweep.dependence import dependence_problems, unmet_problems
from hpo.sweep.metrics import Measure, front_problems
from hpo.sweep.population import population_problems
from hpo.sweep.rules import pair_problems, point_problems
from hpo.sweep.sampling import sampler_problems
from hpo.sweep.scheduling import comparison_problems, ladder_problems, rung_problems
from hpo.sweep.wording import METRIC
from hpo.training.models.custom import PATH
from hpo.training.seeds import derive_seed

PARAM = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


class OwnMetric(Measure):
    """What trials are compared by."""

    name: Annotated[str, Field(pattern=METRIC)]
    """One that is reported for every epoch, of the user's choice; only seconds, total_seconds and lanes are taken."""
    goal: Goal
    """Which way is better."""

    @field_validator("name")
    @classmethod
    def _check(cls, name: str) -> str:
        if name in RESERVED:
            raise ValueError(f"must be one that you report, but {name} is measured for you. Name another.")
        return name


class OwnSweep(Asked):
    """One sweep over training of the user's own: params by name, and the search around it.

    Raises:
        pydantic.ValidationError: if a field is wrong by itself.
        SweepError: if fields do not fit together; it holds every such problem.
    """

    function: Annotated[str, Field(pattern=PATH)] | None = None
    """`package.module:function`, called with an `hpo.Trial` for each trial and rung, in place of `model` and `data`.

    To import its module is to run it: a sweep file of a stranger is as good as its modules.
    """
    command: str | None = None
    """In place of `function`, a program that is run for each trial and rung, in `folder`: `python train.py --lr {lr}
    --to {to_epoch}`. No shell has a part in it: its words are filled with params, and with from_epoch, to_epoch,
    state_in, state_out, seed and trial_id ({{ and }} are braces; `python` is the one that runs hpo). The same is in its
    environment, as HPO_TO_EPOCH and so on, and all params are in HPO_PARAMS, as JSON. To the MLflow run that it finds
    there (MLFLOW_RUN_ID) it logs the metric after every epoch up to to_epoch, step=1 being the first; other metrics of
    that step are shown beside it, while params, tags and artifacts are not kept. What it leaves in the folder state_out
    it finds at the next rung in the folder state_in, and goes on after from_epoch; if it leaves nothing, it begins anew
    at epoch 0. It ends with exit code 0, or the trial has failed, and with it ends all that it has started. What it
    prints is kept in `programs` in the sweep's folder, on its node. It needs the version of MLflow that hpo has.

    A sweep file of a stranger is as good as the program that it names.
    """
    folder: Path | None = None
    """In which the command runs; relative to the sweep file, whose folder it is where none is given."""
    params: Mapping[str, Value]
    """All that trials have, by names that may be dotted: as here where not searched, or where their `when` fails."""
    epochs: Annotated[int, Field(ge=1)]
    """Full length of a trial, in epochs: whatever lies between two reports."""
    metric: OwnMetric
    """What trials are compared by."""

    finalists: ClassVar[None] = None
    lr_range: ClassVar[None] = None

    @field_validator("function")
    @classmethod
    def _is_no_part_of_python(cls, function: str | None) -> str | None:
        if function is None:
            return None
        module = function.partition(":")[0]
        if module.partition(".")[0] in sys.stdlib_module_names:
            raise ValueError(f"must be a function of a module of yours, but {module} is a part of Python itself.")
        return function

    def specify(self, trial: TrialRecord) -> TrialSpec:
        """A trial as a worker sees it: all params, and its seed."""
        seed = derive_seed(self.seed, "trial", trial.trial_id)
        recipe = json.dumps({"params": {**self.params, **trial.params}, "seed": seed})
        return TrialSpec(trial_id=trial.trial_id, recipe=recipe, signature="own", seed_index=trial.seed_index)

    def may_follow(self, params: Params, parent: Params) -> bool:
        """What a state depends on is known to the function alone."""
        return True

    @property
    def settings(self) -> Params:
        """What constraints may speak of beside what is searched."""
        return {path: value for path, value in self.params.items() if path not in self.space}

    @property
    def goals(self) -> dict[str, Goal]:
        """Which way the metric is better."""
        return {self.metric.name: self.metric.goal}

    @property
    def conditions(self) -> Conditions:
        """Which params of those that are searched a trial has."""
        return Conditions(self.space, self.constraints, self.settings)

    @property
    def chosen(self) -> Chosen:
        """Sampler and scheduler, with a choice made where the file leaves one open."""
        at_once = self.resources.max_concurrent
        return choose(
            self.sampler,
            self.scheduler,
            space=self.space,
            budget=self.budget,
            epochs=self.epochs,
            num_slots=None if at_once == "auto" else at_once,
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        unclear = dependence_problems(self.space, self.constraints, self.settings)
        sampler, scheduler = self.chosen.sampler, self.chosen.scheduler
        num_trials = full_budget(self.budget, scheduler, self.epochs).trials
        problems = [
            *unclear,
            *self._trainer_problems(),
            *self._param_problems(),
            *point_problems(self.space, self.points),
            *(() if unclear else unmet_problems(self.space, self.constraints, self.settings, self.points)),
            *rung_problems(scheduler, self.epochs),
            *ladder_problems(scheduler, self.budget.trials, self.epochs),
            *_average_problems(comparison_problems(scheduler, half_lives=(0,)), self.trainer),
            *pair_problems(sampler, scheduler),
            *front_problems(sampler, scheduler, num_trials, num_metrics=1),
            *population_problems(scheduler, sampler, self.budget, self.epochs),
            *(() if unclear else sampler_problems(sampler, self.conditions, self.space, num_trials)),
        ]
        if problems:
            raise SweepError(f"sweep {self.name}", problems)
        return self

    @property
    def trainer(self) -> str:
        """Which of the two trains."""
        return "function" if self.command is None else "command"

    def _trainer_problems(self) -> Iterator[Problem]:
        if (self.function is None) == (self.command is None):
            got = "neither" if self.function is None else "both"
            message = f"must be there, or function, but not both: got {got}. Keep the one that trains."
            yield Problem(key="command", message=message)
        if self.command is None:
            if self.folder is not None:
                yield Problem(key="folder", message="must be left out without command, which runs there. Delete it.")
            return
        if problem := command_problem(self.command, self.params):
            yield Problem(key="command", message=problem)
        for path in self.params:
            if path in PLACES:
                message = f"must not be the name of a param with command, where {{{path}}} is another. Rename it."
                yield Problem(key=f"params.{path}", message=message)

    def _param_problems(self) -> Iterator[Problem]:
        for path in self.params:
            if re.fullmatch(PARAM, path) is None:
                message = "must be letters, digits and _, in parts between dots, as optimizer.lr. Rename it."
                yield Problem(key=f"params.{path}", message=message)
        for path in self.space:
            if path not in self.params:
                guess = did_you_mean(path, self.params)
                message = f"must be one of params, but is none.{guess} Add it to params, with what it is by default."
                yield Problem(key=f"space.{path}", message=message)
        if all(isinstance(domain, Constant) for domain in self.space.values()):
            message = "must hold at least one domain of several values, but holds none. Add one."
            yield Problem(key="space", message=message)
        if self.resources.lanes != "auto":
            message = (
                f"must be auto with {self.trainer}, which trains one trial at a time, but got {self.resources.lanes}. "
            )
            yield Problem(key="resources.lanes", message=f"{message}Delete it.")
        if self.resources.workers > 1:
            message = (
                f"must be 1 with {self.trainer}, which is called in one process, but got {self.resources.workers}. "
            )
            yield Problem(key="resources.workers", message=f"{message}Delete it.")


def _average_problems(problems: list[Problem], trainer: str) -> Iterator[Problem]:
    """In words that fit: there are no averaged weights."""
    for problem in problems:
        message = f"must not be averaged with {trainer}, whose weights nobody knows. Compare by last or best."
        yield Problem(key=problem.key, message=message)
