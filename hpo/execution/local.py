"""The executor's contract in this process: one segment after the other, nothing started."""

from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd, Workload
from hpo.records import Failure, Report, Segment, SegmentEnd


class LocalExecutor:
    """Trains in this process, for tests, debuggers and machines where Ray cannot start."""

    def __init__(self, workload: Workload, *, num_threads: int = 1, use_gpu: bool = False) -> None:
        self.num_slots = 1
        self._train = workload.open(num_threads=num_threads, use_gpu=use_gpu)

    def interrupt(self) -> None:
        """See `Executor.interrupt`."""
        raise KeyboardInterrupt

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`."""
        while isinstance(segment := next_segment(), Segment):
            failures = []
            for message in self._train(segment):
                match message:
                    case Report():
                        on_report(message)
                    case Failure():
                        failures.append(message)
            on_segment_end(SegmentEnd(segment=segment, failures=tuple(failures)))
