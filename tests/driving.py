"""Sweeps without torch and Ray: the driver and a real study, and workers that do what a test tells them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpo.driver.driver import Driver
from hpo.execution import NextSegment, OnReport, OnSegmentEnd
from hpo.progress import Progress
from hpo.records import (
    End,
    Failure,
    Goal,
    Params,
    Parent,
    Report,
    Segment,
    SegmentEnd,
    TrialRecord,
    TrialSpec,
)
from hpo.scheduling import Asha, Budget, Scheduler
from hpo.search.places import Place
from hpo.search.study import Study
from hpo.search.terms import Search
from hpo.spaces import Uniform
from hpo.sweep import Metric, Retries, Sweep
from hpo.tracking.tracker import NullTracker
from hpo.training.data import Digits
from hpo.training.models import Mlp
from hpo.training.recipe import Recipe

Message = Report | Failure
Behave = Callable[[Segment], Iterator[Message]]
LR = "optimizer.lr"
NINE = tuple({LR: value} for value in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1))


class WorkerLostError(Exception):
    """Raised by a behaviour: the worker is gone; ended, if trials hung."""

    def __init__(self, why: str, *hung: int) -> None:
        super().__init__(why)
        self.hung = hung


@dataclass
class Workers:
    """An executor of one slot, whose training is a function of the test's own."""

    behave: Behave
    num_slots: int = 1
    segments: list[Segment] = field(default_factory=list)

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        while isinstance(segment := next_segment(), Segment):
            self.segments.append(segment)
            failures: list[Failure] = []
            lost: str | None = None
            hung: tuple[int, ...] = ()
            try:
                for message in self.behave(segment):
                    if isinstance(message, Report):
                        on_report(message)
                    else:
                        failures.append(message)
            except WorkerLostError as error:
                lost, hung = str(error), error.hung
            on_segment_end(SegmentEnd(segment=segment, failures=tuple(failures), lost=lost, hung=hung))


@dataclass
class Notes(NullTracker):
    """A tracker that remembers."""

    started: dict[int, Params] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    ends: dict[int, End] = field(default_factory=dict)

    def start(self, trial_id: int, params: Params, parent: Parent | None = None) -> None:
        self.started[trial_id] = params

    def log(self, report: Report) -> None:
        self.reports.append(report)

    def end(self, trial_id: int, end: End) -> None:
        assert trial_id not in self.ends
        self.ends[trial_id] = end


@dataclass
class Bench:
    """A study in a folder, and whatever a test drives over it."""

    folder: Path
    place: Place | None = None
    """Of the study, where it is not kept in the folder."""
    notes: Notes = field(default_factory=Notes)
    progress: list[Progress] = field(default_factory=list)
    now_s: float = 0.0

    def drive(self, sweep: Sweep, workers: Workers) -> list[TrialRecord]:
        with self.open(sweep) as study:
            driver = self.driver(sweep, study, workers.num_slots)
            workers.run(driver.next_segment, driver.on_report, driver.on_segment_end)
            self.progress.append(driver.progress())
            return study.trials()

    def driver(self, sweep: Sweep, study: Study, num_slots: int) -> Driver:
        return Driver(
            sweep, study, self.notes, self.progress.append, num_slots=lambda: num_slots, clock=lambda: self.now_s
        )

    def open(self, sweep: Sweep) -> Study:
        return Study.open(
            self.place or self.folder / "study.db",
            Search(
                space=sweep.space,
                metric=sweep.metric.name,
                goal=sweep.metric.goal,
                max_epochs=sweep.epochs,
                sampler=sweep.chosen.sampler,
                seed=sweep.seed,
                points=sweep.points,
            ),
        )


def make_sweep(
    *,
    num_trials: int = 9,
    epochs: int = 9,
    scheduler: Scheduler | None = None,
    budget: Budget | None = None,
    retries: Retries | None = None,
    points: tuple[Mapping[str, float], ...] = (),
    ema_half_life: float = 0.0,
    seed: int = 0,
) -> Sweep:
    return Sweep(
        model=Mlp(hidden=(4,)),
        data=Digits(),
        metric=Metric(name="val_accuracy", goal=Goal.MAXIMIZE),
        epochs=epochs,
        space={LR: Uniform(min=0.1, max=0.9)},
        scheduler=scheduler or Asha(controls=0.0),
        budget=budget or Budget(trials=num_trials),
        retries=retries or Retries(),
        points=points,
        ema_half_life=ema_half_life,
        seed=seed,
        tracking=None,
    )


def reports(segment: Segment, trial: TrialSpec, value: float | None = None) -> Iterator[Report]:
    """Accuracy is the learning rate: the trial with the highest always wins."""
    value = Recipe.model_validate_json(trial.recipe).optimizer.lr if value is None else value
    for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
        checkpoint = f"trial {trial.trial_id} epoch {epoch}" if epoch == segment.to_epoch else None
        metrics = {"val_accuracy": value, "seconds": 1.0}
        yield Report(trial_id=trial.trial_id, epoch=epoch, metrics=metrics, checkpoint=checkpoint)


def well(segment: Segment) -> Iterator[Message]:
    for trial in segment.cohort:
        yield from reports(segment, trial)
