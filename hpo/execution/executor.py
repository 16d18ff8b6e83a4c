"""The one seam between what decides and what does."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from hpo.records import Idle, Message, Report, Seat, Segment, SegmentEnd

NextSegment = Callable[..., Segment | Idle]
"""Hands out work. `Idle.WAIT` is answered only while a segment is running.

An executor that has several kinds of slot gives the number of the one that is free, for which a cohort is then as large
as suits it; all others ask for nothing in particular.
"""
OnReport = Callable[[Report], None]
OnSegmentEnd = Callable[[SegmentEnd], None]


class Workload(Protocol):
    """What a worker can do with segments; sent to each worker once."""

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        """A function that trains a segment, reporting as it goes."""
        ...


@runtime_checkable
class SharedWorkload(Workload, Protocol):
    """One whose segments several workers can train together, each trial on all of them."""

    def open_rank(self, seat: Seat, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        """As `open`, for one of these workers; returns when all have come.

        All must be given the same segments. They say the same, but for failures, after which they are of no more use.
        """
        ...


class Executor(Protocol):
    """Runs segments until there are none.

    All three functions are called in the driver's process, one call at a time. Every segment handed out
    ends in exactly one `on_segment_end`, after its reports: also when its worker died, which is said in
    `SegmentEnd.lost`; but for those that an interrupt finds running. An exception raised by one of the functions ends
    `run` and comes out of it.
    """

    @property
    def num_slots(self) -> int:
        """Segments that run at once as of now, at least one; may be asked for from another thread."""

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """Take segments and run them until `next_segment` answers `Idle.DONE` and nothing is running."""
        ...

    def unmet(self) -> str | None:
        """What segments wait for, in words: to begin, or to be handed out where slots are shared; none if they do not.

        May be called from another thread.
        """
        ...

    def interrupt(self) -> None:
        """Make `run` return soon, as it stands; called while it runs, in its thread, perhaps by a signal's handler.

        None of the three functions is cut short by it; what a worker has said before may still be told.
        """
        ...
