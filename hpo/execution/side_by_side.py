"""Two kinds of slot that work off one queue: those with a GPU, say, and cores that are left."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar, final

from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd
from hpo.execution.ray import RayExecutor, quiet_tune

LOOK_S = 0.2
"""Between two looks at whether one of them is through."""

_Answer = TypeVar("_Answer")


@final
class SideBySide:
    """Executors of one kind of slot each, in threads of their own; `next_segment` is told for which one is asked.

    Each has a run of Ray Tune to itself: in one run with two kinds of resources, Tune ends a warm worker of one kind
    that has become free while a worker of the other kind starts.
    """

    def __init__(self, executors: Sequence[RayExecutor]) -> None:
        """By kind, 0 first."""
        self._executors = executors

    @property
    def num_slots(self) -> int:
        """See `Executor.num_slots`; of all kinds."""
        return max(1, sum(each.num_held for each in self._executors))

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`; the three functions are called in other threads, one call at a time."""
        in_turn = _InTurn()
        with quiet_tune(), ThreadPoolExecutor(len(self._executors)) as pool:
            runs = [
                pool.submit(
                    each.run,
                    in_turn(partial(next_segment, kind)),
                    in_turn(on_report),
                    in_turn(on_segment_end),
                )
                for kind, each in enumerate(self._executors)
            ]
            self._see_through(runs)
        for run in runs:
            run.result()

    def unmet(self) -> str | None:
        """See `Executor.unmet`."""
        return "; ".join(said for each in self._executors if (said := each.unmet()) is not None) or None

    def interrupt(self) -> None:
        """See `Executor.interrupt`."""
        for each in self._executors:
            each.interrupt()

    def _see_through(self, runs: Sequence[Future[None]]) -> None:
        """Once there is nothing more to train, nobody waits for slots; once one has failed, nobody trains."""
        left = set(runs)
        while left:
            done, left = wait(left, LOOK_S, FIRST_EXCEPTION)
            if any(run.exception() for run in done):
                self.interrupt()
            if len(left) < len(runs):
                for each in self._executors:
                    each.release()


@final
class _InTurn:
    """Lets threads into what belongs to one of them, one at a time; and nobody any more once something was raised."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raised: Exception | None = None

    def __call__(self, function: Callable[..., _Answer]) -> Callable[..., _Answer]:
        def called(*args: object) -> _Answer:
            with self._lock:
                if self._raised is not None:
                    raise self._raised
                try:
                    return function(*args)
                except Exception as error:
                    self._raised = error
                    raise

        return called
