"""The executor's contract in this process: one segment after the other, nothing started."""

from collections.abc import Iterator
from contextlib import suppress

from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd, Workload
from hpo.records import Failure, Message, Report, Segment, SegmentEnd


class LocalExecutor:
    """Trains in this process, for tests, debuggers and machines where Ray cannot start.

    A trial that hangs is waited for: only whoever ends this process can end it.
    """

    def __init__(self, workload: Workload, *, num_threads: int = 1, use_gpu: bool = False) -> None:
        self.num_slots = 1
        self._train = workload.open(num_threads=num_threads, use_gpu=use_gpu)
        self._is_interrupted = False
        self._is_training = False

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`."""
        with suppress(_InterruptedError):
            while not self._is_interrupted and isinstance(segment := next_segment(), Segment):
                failures = []
                for message in self._messages(segment):
                    match message:
                        case Report():
                            on_report(message)
                        case Failure():
                            failures.append(message)
                on_segment_end(SegmentEnd(segment=segment, failures=tuple(failures)))

    def unmet(self) -> None:
        """See `Executor.unmet`; a segment begins at once."""

    def interrupt(self) -> None:
        """See `Executor.interrupt`; training is cut short."""
        self._is_interrupted = True
        if self._is_training:
            raise _InterruptedError

    def _messages(self, segment: Segment) -> Iterator[Message]:
        """What training says, until it is interrupted."""
        messages = self._train(segment)
        while True:
            if self._is_interrupted:
                raise _InterruptedError
            self._is_training = True
            try:
                message = next(messages, None)
            finally:
                self._is_training = False
            if message is None:
                return
            yield message


class _InterruptedError(BaseException):
    """Passes by whoever makes a record of a trial's exceptions."""
