"""What one network comes to that trains for as long as all members of an ensemble together: a baseline of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ValidationError

from hpo.errors import EnsembleError, HpoError
from hpo.execution.executor import Executor
from hpo.export.members import Networks
from hpo.files import size_of
from hpo.harvest.harvest import Harvest
from hpo.paths import SweepPaths, written_beside
from hpo.records import Idle, Report, Segment, SegmentEnd, TrialRecord, TrialSpec
from hpo.results.table import best
from hpo.training.bundles.reading import first_line
from hpo.training.recipe import Recipe, with_params
from hpo.training.teacher import teacher_log_probs
from hpo.training.workload import TorchWorkload

MOST_ATTEMPTS = 3
"""How often the run may go down with its worker."""


class LongRun(BaseModel):
    """The best trial of the search, with the same params and luck, but more epochs."""

    trial_id: int
    epochs: int
    """Of the whole run."""
    state: str | None
    """Where what it has come to lies; none if it has come to nothing."""
    why: str | None = None
    """It has come to nothing, in words."""


def find_long_run(harvest: Harvest, epochs: int) -> LongRun | None:
    """The one of the best recipe of the search, if it was trained and, unless it came to nothing, its state is there.

    Raises:
        EnsembleError: if the file that tells of it is damaged.
    """
    file = harvest.paths.long_run
    if not file.exists():
        return None
    try:
        run = LongRun.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise EnsembleError(
            f"{file}: must tell of a run as hpo leaves it, but {first_line(error)}. Delete it, and train another."
        ) from error
    if (run.trial_id, run.epochs) != (best(harvest.trials, harvest.sweep.metric.goal).trial_id, epochs):
        return None
    return run if run.state is None or size_of(run.state) is not None else None


def train_long_run(harvest: Harvest, epochs: int, start: Callable[[TorchWorkload], Executor]) -> LongRun:
    """Train the best recipe of the search for so many epochs, unless that has been done; nothing else changes.

    Args:
        harvest: of a sweep that nobody drives.
        epochs: of the whole run; what depends on a share of them, as a schedule does, is spread over all.
        start: where to train.

    Raises:
        HpoError: if no trial has a value, or the run goes down with its worker again and again.
    """
    if (done := find_long_run(harvest, epochs)) is not None:
        return done
    trial, splits = best(harvest.trials, harvest.sweep.metric.goal), harvest.splits
    work = _Work(_segment(harvest, trial, epochs))
    executor = start(
        TorchWorkload(
            train=splits.train,
            validation=splits.validation,
            num_classes=splits.num_classes,
            teacher=teacher_log_probs(harvest.sweep.loss, splits.train.x, splits.normalization),
            paths=_home(harvest),
            lanes=1,
        )
    )
    executor.run(work.next_segment, work.on_report, work.on_segment_end)
    run = LongRun(trial_id=trial.trial_id, epochs=epochs, state=work.state, why=work.why)
    with written_beside(harvest.paths.long_run) as beside:
        beside.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return run


def networks_of(run: LongRun, harvest: Harvest) -> Networks:
    """The one network, under the id of the trial whose params it has."""
    recipe = harvest.networks.recipe
    return replace(
        harvest.networks,
        recipe=lambda trial_id: longer(recipe(trial_id), run.epochs),
        checkpoint=lambda _: str(run.state),
    )


def longer(recipe: Recipe, epochs: int) -> Recipe:
    """The same for more epochs."""
    return recipe.model_copy(update={"epochs": epochs})


@dataclass
class _Work:
    """One segment, until it has been trained."""

    segment: Segment
    state: str | None = None
    why: str | None = None
    """It has come to nothing."""
    _is_out: bool = field(default=False)

    def next_segment(self) -> Segment | Idle:
        if self.state is not None or self.why is not None:
            return Idle.DONE
        if self._is_out:
            return Idle.WAIT
        self._is_out = True
        return self.segment

    def on_report(self, report: Report) -> None:
        if report.first_bad_step is not None:
            self.why = f"diverged at step {report.first_bad_step}"
        self.state = report.checkpoint or self.state

    def on_segment_end(self, end: SegmentEnd) -> None:
        self._is_out = False
        for failure in end.failures:
            raise HpoError(f"A run of {self.segment.to_epoch} epochs must not fail, but:\n{failure.traceback}")
        if end.lost is not None:
            self.segment = replace(self.segment, attempt=self.segment.attempt + 1)
            if self.segment.attempt == MOST_ATTEMPTS:
                raise HpoError(
                    f"A run of {self.segment.to_epoch} epochs must keep its worker, but lost {MOST_ATTEMPTS}, the "
                    f"last one so: {end.lost}. Mend that, and train it again."
                )


def _segment(harvest: Harvest, trial: TrialRecord, epochs: int) -> Segment:
    recipe = longer(with_params(harvest.sweep.recipe, trial.params), epochs)
    spec = TrialSpec(trial_id=trial.trial_id, recipe=recipe.model_dump_json(), seed_index=trial.seed_index)
    return Segment(segment_id=0, cohort=(spec,), from_epoch=0, to_epoch=epochs, seed=harvest.sweep.seed)


def _home(harvest: Harvest) -> SweepPaths:
    """Beside the states of the sweep's trials."""
    paths = harvest.sweep.storage.located(harvest.paths)
    return SweepPaths(paths.long_run.with_suffix(""), None if paths.remote is None else paths.states)
