"""Trials that have not ended, as the driver knows them, and how they come to an end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hpo.records import Decision, End, EndKind, Failure, Report, TrialRecord, TrialSpec

Reason = Mapping[str, float | int | str]


@dataclass
class ActiveTrial:
    """A trial that has not ended."""

    spec: TrialSpec
    begun_at: int = 0
    """Epochs behind it from the start: those of the parent from whose state it goes on."""
    inherited: str | None = None
    """Where that state lies."""
    last: Report | None = None
    kept: Report | None = None
    """The last report whose state is on disk."""
    course: list[float] = field(default_factory=list)
    """What every epoch cost, by what trials are compared by; lower is better."""
    spared: Decision | None = None
    """The first that would have stopped it, if it is a control."""
    num_errors: int = 0
    num_lost: int = 0
    """In a row, alone in its segment, since it last reported something new."""

    @property
    def epoch(self) -> int:
        """Epochs behind it."""
        return self.last.epoch if self.last else self.begun_at

    @property
    def checkpoint(self) -> str | None:
        """Where its last state lies."""
        return self.kept.checkpoint if self.kept else self.inherited

    def value(self, metric: str) -> float:
        """What it measured last."""
        assert self.last is not None
        return self.last.metrics[metric]

    def ended(self, kind: EndKind, metric: str, reason: Reason) -> End:
        """Its end, as it stands."""
        if self.last is None:
            return End(kind=kind, epoch=self.epoch, reason=reason)
        value = self.value(metric)
        return End(kind=kind, epoch=self.epoch, value=value, metrics=self.last.metrics, reason=reason)

    def through(self, record: TrialRecord, max_epochs: int, metric: str) -> TrialRecord | None:
        """`record` as it will be if the trial trains no more, for it is complete; else none."""
        if self.last is None or (self.last.best_epoch is None and self.epoch < max_epochs):
            return None
        return replace(record, end=self.ended(EndKind.COMPLETE, metric, {}))

    def failed(self, failure: Failure) -> End:
        """Its end, where its code raised too often."""
        reason = {"error": failure.error, "traceback": failure.traceback}
        return End(kind=EndKind.FAILED, epoch=self.epoch, reason=reason)

    def finish(self, max_epochs: int) -> Reason:
        """How it came to be complete: where early stopping took it back to, or by what it would have been stopped."""
        if self.spared is not None:
            return {"spared": self.spared.rung, **_judged_by(self.spared)}
        if self.last is None or self.last.best_epoch is None:
            return {}
        early = {"early_stopped": self.epoch} if self.epoch < max_epochs else {}
        return early | {"best_epoch": self.last.best_epoch}


def diverged(report: Report) -> End | None:
    """The end of a trial by a report, if that is of a loss that is not finite."""
    if report.first_bad_step is None:
        return None
    reason = {"first_bad_step": report.first_bad_step}
    return End(kind=EndKind.DIVERGED, epoch=report.epoch, metrics=report.metrics, reason=reason)


def stop_reason(decision: Decision) -> Reason:
    """What a trial was stopped by."""
    return {"rung": decision.rung, **_judged_by(decision)}


def _judged_by(decision: Decision) -> Reason:
    return {"cutoff": decision.cutoff, "rank": decision.rank, "num_seen": decision.num_seen}
