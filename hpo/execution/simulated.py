"""Segments without training: learning curves that are known before, told at their times on a virtual clock."""

import math
import traceback
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd
from hpo.records import Curve, Failure, Report, Segment, SegmentEnd, TrialSpec

CurveOf = Callable[[TrialSpec], Curve]
"""What a trial would measure."""

_Message = Report | SegmentEnd
_Timeline = Iterator[tuple[float, _Message]]
"""What a slot says, and when; its last word is the end of its segment."""


class SimulatedExecutor:
    """Runs segments in slots of their own, each cohort one trial after the other; nobody waits but the virtual clock.

    The same segments and curves give the same messages in the same order: what happens at one moment is told slot by
    slot, and only then are the free slots filled, the lowest first. A checkpoint is a name and never a file.
    """

    def __init__(self, curve_of: CurveOf, *, num_slots: int, epoch_s: float = 1.0) -> None:
        """Begin at 0 s.

        Args:
            curve_of: an exception that it raises becomes a record, like one of training.
            num_slots: segments that run at once.
            epoch_s: how long an epoch takes whose metrics do not say.
        """
        self.num_slots = num_slots
        self._curve_of = curve_of
        self._epoch_s = epoch_s
        self._now_s = 0.0
        self._is_interrupted = False

    def clock(self) -> float:
        """Virtual seconds since the start."""
        return self._now_s

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`."""
        idle = list(range(self.num_slots))
        timelines: dict[int, _Timeline] = {}
        upcoming: list[tuple[float, int, _Message]] = []  # a heap; a slot stands in it once at most
        while not self._is_interrupted:
            while self._may_hand_out(idle) and isinstance(segment := next_segment(), Segment):
                slot = heappop(idle)
                timelines[slot] = self._timeline(segment)
                _put_next(upcoming, slot, timelines[slot])
            if not upcoming:
                return
            self._now_s = upcoming[0][0]
            while upcoming and upcoming[0][0] == self._now_s and not self._is_interrupted:
                _, slot, message = heappop(upcoming)
                match message:
                    case Report():
                        on_report(message)
                        _put_next(upcoming, slot, timelines[slot])
                    case SegmentEnd():
                        on_segment_end(message)
                        heappush(idle, slot)

    def unmet(self) -> None:
        """See `Executor.unmet`; a segment begins at once."""

    def interrupt(self) -> None:
        """See `Executor.interrupt`."""
        self._is_interrupted = True

    def _may_hand_out(self, idle: list[int]) -> bool:
        return bool(idle) and not self._is_interrupted

    def _timeline(self, segment: Segment) -> _Timeline:
        """What a slot says, and when, that takes the segment now."""
        at_s = self._now_s
        failures = []
        for spec in segment.cohort:
            try:
                reports = self._measure(spec, segment)
            except Exception as error:  # noqa: BLE001 - whatever the curve of a user raises
                failures.append(_failure(spec, error))
                continue
            left_s = segment.left_s.get(spec.trial_id, math.inf)
            for report in reports:
                at_s += report.metrics["seconds"]
                yield at_s, report
                left_s -= report.metrics["seconds"]
                if left_s < 0:
                    break
        yield at_s, SegmentEnd(segment=segment, failures=tuple(failures))

    def _measure(self, spec: TrialSpec, segment: Segment) -> list[Report]:
        """All that a trial reports in a segment; one whose metrics are not finite has diverged and trains no more."""
        curve = self._curve_of(spec)
        if len(curve) < segment.to_epoch:
            raise ValueError(
                f"a curve must be as long as its trial trains, but has {len(curve)} epochs of {segment.to_epoch}. "
                "Train for fewer epochs."
            )
        reports: list[Report] = []
        for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
            metrics = {"seconds": self._epoch_s, **curve[epoch - 1]}
            if not 0 <= metrics["seconds"] < math.inf:
                raise ValueError(
                    f"epoch {epoch}: `seconds` must be finite and at least 0, but is {metrics['seconds']}."
                )
            finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
            is_last = epoch == segment.to_epoch
            checkpoint = f"simulated: trial {spec.trial_id} at epoch {epoch}" if is_last else None
            if len(finite) < len(metrics):
                return [*reports, Report(trial_id=spec.trial_id, epoch=epoch, metrics=finite, first_bad_step=epoch - 1)]
            reports.append(Report(trial_id=spec.trial_id, epoch=epoch, metrics=finite, checkpoint=checkpoint))
        return reports


def _put_next(upcoming: list[tuple[float, int, _Message]], slot: int, timeline: _Timeline) -> None:
    at_s, message = next(timeline)
    heappush(upcoming, (at_s, slot, message))


def _failure(spec: TrialSpec, error: Exception) -> Failure:
    text = f"{type(error).__name__}: {error}"
    return Failure(trial_id=spec.trial_id, error=text, traceback="".join(traceback.format_exception(error)))
