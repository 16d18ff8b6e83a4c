"""What differs between sweeps: who trains, and what becomes of what was trained."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from hpo.errors import EnsembleError, NoAverageError, Problem, SweepError
from hpo.execution.executor import Workload
from hpo.harvest.affordable import build
from hpo.harvest.assembly import Assembly
from hpo.harvest.finals import judge_by_example
from hpo.harvest.harvest import Harvest
from hpo.harvest.lineup import Lineup
from hpo.harvest.registering import register_exported
from hpo.harvest.repeats import Repeat
from hpo.outcome import SweepResult
from hpo.paths import SweepPaths
from hpo.programs.command import check_program
from hpo.programs.function import FunctionWorkload, load_function
from hpo.programs.program import ProgramWorkload
from hpo.records import Params, TrialRecord
from hpo.results.finalists import Finalist
from hpo.results.finals import write_finals
from hpo.results.table import find_best
from hpo.sweep import AnySweep, OwnSweep, Sweep
from hpo.tracking.private import make_blank
from hpo.tracking.tracker import Tracker
from hpo.training.data import Splits
from hpo.training.recipe import raw_params
from hpo.training.teacher import teacher_log_probs
from hpo.training.workload import TorchWorkload

logger = logging.getLogger(__name__)


class LocatedWorkload(Workload, Protocol):
    """A workload that knows where its states go."""

    @property
    def paths(self) -> SweepPaths:
        """Of the sweep."""


class Work(Protocol):
    """The training of one sweep, before, while and after it runs."""

    @property
    def sweep(self) -> AnySweep:
        """As it was settled."""

    @property
    def derive(self) -> Callable[[Params], Params]:
        """What else follows from the proposed values of a trial."""

    def workload(self, paths: SweepPaths) -> LocatedWorkload:
        """What workers train with."""

    def lineup(self) -> Lineup | None:
        """The ensemble so far; none where the file asks for none."""

    def wanted(self, paths: SweepPaths, trials: Sequence[TrialRecord]) -> list[Repeat]:
        """Which repetitions the trials of a search that is over ask for."""

    def take(self, result: SweepResult, tracker: Tracker) -> SweepResult:
        """The result of a sweep that has ended, with what leaves it."""


@dataclass(frozen=True)
class RecipeWork:
    """Networks, trained by hpo."""

    sweep: Sweep
    splits: Splits

    @property
    def derive(self) -> Callable[[Params], Params]:
        """See `Work`."""
        return partial(raw_params, self.sweep.recipe, num_train=len(self.splits.train))

    def workload(self, paths: SweepPaths) -> TorchWorkload:
        """See `Work`."""
        train, sweep = self.splits.train, self.sweep
        return TorchWorkload(
            train=train,
            validation=self.splits.validation,
            num_classes=self.splits.num_classes,
            teacher=teacher_log_probs(sweep.loss, train.x, self.splits.normalization),
            paths=sweep.storage.located(paths),
            lanes=sweep.resources.lanes,
        )

    def lineup(self) -> Lineup | None:
        """See `Work`."""
        sweep, splits = self.sweep, self.splits
        if sweep.ensemble is None:
            return None
        return Lineup(sweep.ensemble, splits.validation.y, splits.num_classes, sweep.metric.goal, sweep.seed)

    def wanted(self, paths: SweepPaths, trials: Sequence[TrialRecord]) -> list[Repeat]:
        """See `Work`."""
        return Harvest(self.sweep, paths, self.splits, trials).repeats()

    def take(self, result: SweepResult, tracker: Tracker) -> SweepResult:
        """The best model and the ensemble leave, as the sweep's file says; what cannot, says why."""
        harvest = Harvest(self.sweep, result.paths, self.splits, result.trials)
        finalists = _judged(harvest, tracker)
        return replace(result, best=harvest.best, finalists=finalists, ensemble=_take(harvest, tracker))


@dataclass(frozen=True)
class OwnWork:
    """Whatever a function or a program of the user's own trains: its states are all that leaves it."""

    sweep: OwnSweep

    @property
    def derive(self) -> Callable[[Params], Params]:
        """Nothing does."""
        return lambda _: {}

    def check(self) -> None:
        """Import the function; of a program, see that it is there.

        Raises:
            SweepError: if it cannot be called.
        """
        sweep = self.sweep
        try:
            if sweep.function is not None:
                load_function(sweep.function)
            else:
                check_program(*self._program)
        except ValueError as error:
            raise SweepError(f"sweep {sweep.name}", [Problem(key=sweep.trainer, message=str(error))]) from error

    def workload(self, paths: SweepPaths) -> FunctionWorkload | ProgramWorkload:
        """See `Work`."""
        sweep = self.sweep
        if sweep.function is None:
            command, folder = self._program
            shipped = paths.shipped.resolve()
            return ProgramWorkload(
                command=command,
                folder=folder,
                shipped_as=folder.relative_to(shipped) if folder.is_relative_to(shipped) else None,
                metric=sweep.metric.name,
                max_epochs=sweep.epochs,
                paths=sweep.storage.located(paths),
                blank=make_blank(),
            )
        return FunctionWorkload(
            function=sweep.function,
            metric=sweep.metric.name,
            max_epochs=sweep.epochs,
            paths=sweep.storage.located(paths),
        )

    def lineup(self) -> None:
        """There is no ensemble of what nobody knows."""

    def wanted(self, paths: SweepPaths, trials: Sequence[TrialRecord]) -> list[Repeat]:
        """None: luck is the function's own."""
        return []

    def take(self, result: SweepResult, tracker: Tracker) -> SweepResult:
        """The best trial is named; its state stays where it is."""
        return replace(result, best=find_best(result.trials, self.sweep.metric.goal))

    @property
    def _program(self) -> tuple[str, Path]:
        """The command, and where it runs."""
        sweep = self.sweep
        assert sweep.command is not None
        return sweep.command, Path() if sweep.folder is None else sweep.folder


def _judged(harvest: Harvest, tracker: Tracker) -> list[Finalist]:
    """The finalists, left with the sweep and told to MLflow."""
    finalists = judge_by_example(harvest)
    if not finalists:
        return []
    write_finals(harvest.paths.finalists, finalists)
    tracker.log_artifact(harvest.paths.finalists)
    for each in finalists:
        told = {"mean": each.mean, "half_width": each.half_width, "probability": each.probability}
        if each.difference is not None:
            difference = each.difference
            told |= {
                "difference": difference.mean,
                "difference_low": difference.low,
                "difference_high": difference.high,
            }
        tags = {f"hpo.finalist_{name}": f"{value:.6g}" for name, value in told.items() if value is not None}
        tracker.tag(each.trial_id, tags)
    return finalists


def _take(harvest: Harvest, tracker: Tracker) -> Assembly | None:
    sweep, paths, best = harvest.sweep, harvest.paths, harvest.best
    if best is None:
        return None
    if sweep.export.formats:
        try:
            harvest.export_trial(paths.bundle, best, tracker.run_id)
            tracker.log_artifact(paths.bundle)
            register_exported(sweep, paths, paths.bundle, "best")
        except NoAverageError as error:  # the sweep has ended before the trial had one
            logger.warning("No model is exported: %s", error)
    if sweep.ensemble is None:
        return None
    try:
        assembly, sizes = build(harvest, sweep.ensemble)
        shares = harvest.shares(assembly)
    except EnsembleError as error:
        logger.warning("No ensemble is built: %s", error)
        return None
    for trial_id, share in shares.items():
        tracker.tag(trial_id, {"hpo.ensemble_weight": f"{share:g}"})
    tracker.log_artifact(harvest.write(assembly, [size.as_tree() for size in sizes]))
    if sweep.export.formats:
        harvest.export_ensemble(paths.ensemble_bundle, assembly, tracker.run_id)
        tracker.log_artifact(paths.ensemble_bundle)
        register_exported(sweep, paths, paths.ensemble_bundle, "ensemble")
    return assembly
