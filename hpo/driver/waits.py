"""What the work of a sweep waits for."""

from typing import final

from hpo.driver.driver import Driver
from hpo.execution.executor import Executor
from hpo.records import Idle, Segment, SegmentEnd
from hpo.tracking.tracker import Tracker


@final
class Waits:
    """Stands between a driver and its executor, and listens."""

    def __init__(self, driver: Driver, executor: Executor, tracker: Tracker) -> None:
        """Nothing was handed out."""
        self._driver = driver
        self._executor = executor
        self._tracker = tracker
        self._out: dict[int, Segment] = {}
        self._why_again: dict[int, str] = {}  # by trial
        self._is_idle = False

    def next_segment(self, kind: int = 0) -> Segment | Idle:
        """The driver's."""
        answer = self._driver.next_segment(kind)
        self._is_idle = answer is Idle.WAIT
        if isinstance(answer, Segment):
            self._out[answer.segment_id] = answer
        return answer

    def on_segment_end(self, end: SegmentEnd) -> None:
        """The driver's."""
        self._out.pop(end.segment.segment_id, None)
        if end.lost is not None:
            self._why_again.update({spec.trial_id: end.lost for spec in end.segment.cohort})
        self._why_again.update({failure.trial_id: failure.error for failure in end.failures})
        self._driver.on_segment_end(end)

    def sentences(self) -> list[str]:
        """One for whatever holds work up, or is away; may be called from another thread."""
        out, num_slots = list(self._out.values()), self._executor.num_slots
        again = [spec.trial_id for segment in out if segment.attempt > 0 for spec in segment.cohort]
        said = [_slots(len(out), num_slots)] if len(out) >= num_slots or self._is_idle else []
        if again:
            train, why = _num(len(again), "trial trains", "trials train"), self._why_again.get(again[-1])
            said.append(f"{train} again" + ("" if why is None else f": {why}"))
        if (unmet := self._executor.unmet()) is not None:
            said.append(unmet)
        if (problem := self._tracker.problem()) is not None:
            said.append(f"MLflow does not take what it is told, which waits, though training does not: {problem}")
        return said


def _slots(num_out: int, num_slots: int) -> str:
    if num_out < num_slots:
        return f"{num_slots - num_out} of {num_slots} slots: nothing to train until a running segment ends"
    return "the one slot is taken" if num_slots == 1 else f"all {num_slots} slots are taken"


def _num(num: int, one: str, more: str) -> str:
    return f"{num} {one if num == 1 else more}"
