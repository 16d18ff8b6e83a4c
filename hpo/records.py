"""What crosses the seams: plain frozen records, safe to send between processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

ParamValue = bool | int | float | str | tuple[int, ...]
Params = Mapping[str, ParamValue]
"""The searched values of one trial, by dotted recipe path, and the raw ones that effective coordinates come to."""


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One trial as a worker sees it."""

    trial_id: int
    """Number of the trial in its study, from 0."""
    recipe: str
    """The complete training description, as JSON that `Recipe` validates."""
    signature: str = ""
    """Trials of one signature can train as lanes of one program."""
    seed_index: int = 0
    """Trials of one seed index share their luck: batch order, augmentation and dropout draws."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The unit of work: a cohort of trials, trained from one epoch to another.

    A pure function of its fields and the data: run twice, it gives the same reports.
    """

    segment_id: int
    cohort: tuple[TrialSpec, ...]
    from_epoch: int
    """Epochs that every trial of the cohort has behind it; 0 for new trials."""
    to_epoch: int
    """The rung at which the trials will stand."""
    seed: int
    """The sweep's seed."""
    checkpoints: Mapping[int, str] = field(default_factory=dict)
    """Where the state at `from_epoch` lies that each trial goes on from, be it its parent's; empty for new trials."""
    generation: int = 0
    """Which start of the sweep's driver made this segment."""
    attempt: int = 0
    """How often this segment was handed out before."""
    left_s: Mapping[int, float] = field(default_factory=dict)
    """How long each trial may train in this segment; empty where trials may take their time."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One measurement of one trial at one epoch."""

    trial_id: int
    epoch: int
    """Epochs trained so far, from 1."""
    metrics: Mapping[str, float]
    """By name: train_loss, val_loss, val_accuracy, num_parameters, lr, seconds, samples_per_second."""
    checkpoint: str | None = None
    """The file that holds the state at this epoch; set on a segment's last report, after the file was written."""
    first_bad_step: int | None = None
    """The step, from 0 over all of training, whose loss was not finite: the trial has diverged and trains no more."""
    best_epoch: int | None = None
    """Set where early stopping ends the trial: the checkpoint and what was measured are those of this epoch."""

    @property
    def is_last(self) -> bool:
        """Whether the trial trains no more, whatever its segment says."""
        return self.first_bad_step is not None or self.best_epoch is not None


Curve = Sequence[Mapping[str, float]]
"""Metrics after each epoch, the first first; `seconds` among them, if any, says how long the epoch takes."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The code of a trial raised."""

    trial_id: int
    error: str
    """Type and message, on one line."""
    traceback: str
    is_disk_full: bool = False
    """Whether the disk was full: no fault of the trial's, and nothing that another attempt would mend."""
    is_overdue: bool = False
    """Whether it was ended because it has trained for longer than it may."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """Trials begin to train, or to be made ready: said before it is done, so that it is known who hangs if nobody
    says anything more. Not said where trials may take their time.
    """

    trial_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Seat:
    """The place of one of the processes that train a trial together, and where they meet."""

    rank: int
    """From 0; the first listens for the others."""
    number: int
    """Of all these processes."""
    host: str
    """The first one's address."""
    port: int
    listening: int | None = None
    """The first one's socket, by file descriptor, which listens there already."""


Message = Report | Failure | Begun
"""What a worker says of a segment."""


@dataclass(frozen=True, kw_only=True)
class SegmentEnd:
    """A segment is over. What it has not reported and not failed was lost with its worker."""

    segment: Segment
    failures: tuple[Failure, ...] = ()
    lost: str | None = None
    """Why the worker is gone, when it is."""
    hung: tuple[int, ...] = ()
    """Who was training, side by side, when nothing was said for longer than one of them may train: the worker was
    ended for it."""

    @property
    def overdue(self) -> Sequence[int]:
        """Trials of which it is known that each has trained for longer than it may."""
        alone = self.hung if len(self.hung) == 1 else ()
        return [*alone, *(failure.trial_id for failure in self.failures if failure.is_overdue)]


class Idle(Enum):
    """What there is to hand out when there is no segment."""

    WAIT = "wait"
    """Nothing now: a running segment must end first."""
    DONE = "done"
    """Nothing any more."""


class EndKind(StrEnum):
    """How a trial finished."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, kw_only=True)
class End:
    """How a trial finished, and why."""

    kind: EndKind
    epoch: int
    """Epochs trained."""
    value: float | None = None
    """The objective at `epoch`, where there is one; at its best epoch, if the trial went back there."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last report's."""
    reason: Mapping[str, float | int | str] = field(default_factory=dict)
    """complete, with early stopping: best_epoch, and early_stopped, the epoch, where that is not the last;
    complete, of a control that would have been stopped: spared, the first such rung, cutoff, rank, num_seen;
    stopped: rung, cutoff, rank, num_seen, and exploited, the trial that took its place, where one did; or sweep_ended;
    diverged: first_bad_step; failed: error, traceback; timed_out: limit_s."""


class Outcome(StrEnum):
    """What was decided of a trial at a rung."""

    CONTINUES = "continues"
    PAUSES = "pauses"
    STOPS = "stops"
    SPARED = "spared"
    """Goes on though it would be stopped, for it is a control."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided of a trial at a rung, and by what."""

    rung: int
    value: float
    """Of the trial, as the scheduler compares it."""
    cutoff: float
    """The worst value that goes on; infinite where every value would, or none."""
    rank: int
    """Of the trial among all that the rung had seen, from 1."""
    num_seen: int
    outcome: Outcome
    is_control: bool = False
    """Whether the trial is one that is spared where it would be stopped."""
    number: int = 0
    """How many decisions of the sweep came before this one."""
    doubt: float | None = None
    """Rank correlation of values at the rung and later ones, if the trial goes on only because it is not above 0."""


class Goal(StrEnum):
    """Which way is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def is_better(self, value: float, other: float) -> bool:
        """Whether `value` is strictly better than `other`; never true of NaN."""
        return value > other if self is Goal.MAXIMIZE else value < other

    def as_cost(self, value: float) -> float:
        """`value`, turned so that lower is better."""
        return -value if self is Goal.MAXIMIZE else value


@dataclass(frozen=True, kw_only=True)
class Parent:
    """Whose state a trial goes on from."""

    trial_id: int
    epoch: int
    """Of that state: the child's first own epoch is the next one."""
    replaces: int | None = None
    """The trial that gave way to the child; none where the place was free."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What the study remembers of a trial."""

    trial_id: int
    params: Params
    values: Mapping[int, float] = field(default_factory=dict)
    """The objective by epoch."""
    end: End | None = None
    """None while the trial runs or waits in line."""
    kept: Report | None = None
    """The last report that came with a state."""
    states: Mapping[int, str] = field(default_factory=dict)
    """Where every state that was reported lay, by epoch; the earlier ones may be gone."""
    decisions: tuple[Decision, ...] = ()
    """At its rungs, in order of time."""
    parent: Parent | None = None
    """None for a trial that began from initial weights."""
    repeats: int | None = None
    """The trial of the search whose params it trains again, on other luck; none for a trial of the search."""
    seed_index: int = 0

    @property
    def checkpoint(self) -> str | None:
        """Where its last state lies."""
        return None if self.kept is None else self.kept.checkpoint

    @property
    def is_proposed(self) -> bool:
        """Whether a sampler proposed it: it is neither a child nor a repetition of another."""
        return self.parent is None and self.repeats is None

    @property
    def is_paused(self) -> bool:
        """Whether it waits for a decision to go on, if it has not ended."""
        return bool(self.decisions) and self.decisions[-1].outcome is Outcome.PAUSES


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A cohort on its way from one rung to the next, where its trials are judged together once all have come.

    One segment carries it, and more if that one is lost.
    """

    trial_ids: tuple[int, ...]
    from_epoch: int
    to_epoch: int
    is_out: bool = False
    """Whether a worker has it, or had it and is gone; else it waits for one."""


@dataclass(frozen=True, kw_only=True)
class Logbook:
    """What a driver leaves to its successor, beside the trials."""

    generation: int
    """How many drivers there were before the one that wrote this."""
    elapsed_s: float
    """Of all drivers."""
    legs: tuple[Leg, ...]
    """All that have not ended, and perhaps some that have."""
    ended: str | None = None
    """Why the sweep was ended before all trials were through; none where it was not, or goes on."""
