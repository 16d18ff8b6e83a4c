"""What ends workers, and Tune with them: with a real Ray, in processes that are really killed."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle

from hpo.errors import WorkersError
from hpo.execution.ray import MOST_ENDS, RayExecutor
from hpo.records import Begun, Idle, Message, Report, Segment, SegmentEnd, TrialSpec

SLEEP_S = 600
"""What a trial that hangs would take: longer than anything that a test waits for, on however busy a machine."""

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests


@dataclass(frozen=True)
class Mischief:
    """A trial reports three epochs; its recipe says what happens in the second."""

    scratch: Path

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        return self._train

    def _train(self, segment: Segment) -> Iterator[Message]:
        chunks = [segment.cohort] if segment.cohort[0].signature == "lanes" else [(spec,) for spec in segment.cohort]
        for chunk in chunks:
            if segment.left_s:
                yield Begun(trial_ids=tuple(spec.trial_id for spec in chunk))
            for epoch in (1, 2, 3):
                for spec in chunk:
                    if epoch == 2:
                        self._act(spec.recipe)
                    metrics = {"process": os.getpid(), "seconds": 0.01}
                    yield Report(trial_id=spec.trial_id, epoch=epoch, metrics=metrics)

    def _act(self, recipe: str) -> None:
        what, _, times = recipe.partition(" ")
        marks = len(list(self.scratch.glob(f"{what}-*")))
        if not what or (times and marks >= int(times)):
            return
        (self.scratch / f"{what}-{marks}").touch()
        match what:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(SLEEP_S)
            case "spin":
                re.match(r"(a+)+$", "a" * 60 + "b")  # never lets another thread run


@dataclass
class Queue:
    """Hands out segments, those that were lost too, and notes all that is said."""

    segments: list[Segment]
    ends: list[SegmentEnd] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    num_running: int = 0
    retries: bool = True
    hung_at: float = 0.0

    def next_segment(self) -> Segment | Idle:
        if self.segments:
            self.num_running += 1
            return self.segments.pop(0)
        return Idle.WAIT if self.num_running else Idle.DONE

    def on_segment_end(self, end: SegmentEnd) -> None:
        self.num_running -= 1
        self.ends.append(end)
        self.hung_at = time.time() if end.hung else self.hung_at
        if end.lost and not end.hung and self.retries:
            self.segments.append(end.segment)

    def run(self, executor: RayExecutor) -> None:
        executor.run(self.next_segment, self.reports.append, self.on_segment_end)

    @property
    def lost(self) -> list[int]:
        return [end.segment.segment_id for end in self.ends if end.lost]

    @property
    def done(self) -> list[int]:
        return sorted(end.segment.segment_id for end in self.ends if not end.lost)


@pytest.fixture
def executor(two_slots: None, tmp_path: Path) -> RayExecutor:
    return RayExecutor(Mischief(tmp_path), folder=tmp_path / "ray")


def segment(number: int, *recipes: str, limit_s: float | None = None, signature: str = "") -> Segment:
    cohort = tuple(
        TrialSpec(trial_id=10 * number + k, recipe=recipe, signature=signature) for k, recipe in enumerate(recipes)
    )
    left_s = {} if limit_s is None else {spec.trial_id: limit_s for spec in cohort}
    return Segment(segment_id=number, cohort=cohort, from_epoch=0, to_epoch=3, seed=0, left_s=left_s)


def free_cpus() -> float:
    return float(ray.available_resources().get("CPU", 0.0))


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return True
        time.sleep(0.1)
    return False


def failing_get(monkeypatch: pytest.MonkeyPatch, num_times: int) -> list[Exception]:
    """Ray's answer for a worker that its memory monitor has killed, to the next results that Tune fetches."""
    raised: list[Exception] = []
    real_get = ray.get

    def get(ref: Any, **options: Any) -> Any:
        result = real_get(ref, **options)
        if isinstance(result, dict) and len(raised) < num_times:
            raised.append(ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."))
            raise raised[-1]
        return result

    monkeypatch.setattr(ray, "get", get)
    return raised


@pytest.mark.slow
def test_a_worker_killed_midway_costs_its_segment_and_the_others_go_on(executor: RayExecutor) -> None:
    queue = Queue([segment(1, "", "die 1"), segment(2, "", ""), segment(3, "")])

    queue.run(executor)

    assert queue.lost == [1]
    assert queue.done == [1, 2, 3]


@pytest.mark.slow
def test_a_worker_killed_while_it_rests_costs_nothing(executor: RayExecutor) -> None:
    processes: list[float] = []
    queue = Queue([segment(1, ""), segment(2, "")])
    late = [segment(3, ""), segment(4, "")]

    def next_segment() -> Segment | Idle:
        if queue.segments or not late:
            return queue.next_segment()
        if len(queue.ends) == 2 and not processes:
            processes.extend({report.metrics["process"] for report in queue.reports})
            os.kill(int(processes[0]), signal.SIGKILL)
            queue.segments += late
            late.clear()
            return queue.next_segment()
        return Idle.WAIT

    executor.run(next_segment, queue.reports.append, queue.on_segment_end)

    assert processes
    assert queue.done == [1, 2, 3, 4]


def test_what_ends_tune_costs_what_was_running_and_a_new_one_goes_on(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = failing_get(monkeypatch, num_times=1)
    queue = Queue([segment(1, ""), segment(2, ""), segment(3, "")])

    queue.run(executor)

    assert len(raised) == 1
    assert queue.lost
    assert {end.lost for end in queue.ends if end.lost} == {"Task was killed due to the node running low on memory"}
    assert queue.done == [1, 2, 3]
    assert until(lambda: free_cpus() == 2)


@pytest.mark.slow
def test_what_ends_tune_again_and_again_is_raised_with_its_cause(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = failing_get(monkeypatch, num_times=99)
    queue = Queue([segment(1, "")])

    with pytest.raises(WorkersError, match="3 times in a row .* node running low on memory; mend that"):
        queue.run(executor)

    assert len(raised) >= MOST_ENDS
    assert queue.lost == [1, 1]


@pytest.mark.parametrize("hang", ["sleep", pytest.param("spin", marks=pytest.mark.slow)])
def test_a_trial_that_hangs_is_named_after_its_limit_and_long_before_its_end(
    executor: RayExecutor, tmp_path: Path, hang: str
) -> None:
    queue = Queue([segment(1, "", hang, "", limit_s=2), segment(2, "")])

    queue.run(executor)

    [hung] = [end for end in queue.ends if end.hung]
    assert hung.hung == (11,)
    assert hung.lost == "the worker process died"
    assert [report.epoch for report in queue.reports if report.trial_id == 10] == [1, 2, 3]
    assert queue.done == [2]
    [began] = [path.stat().st_mtime for path in tmp_path.glob(f"{hang}-*")]
    assert queue.hung_at - began < SLEEP_S / 10
    assert until(lambda: free_cpus() == 2)


@pytest.mark.slow
def test_lanes_that_hang_are_named_together(executor: RayExecutor) -> None:
    queue = Queue([segment(1, "", "sleep", limit_s=1, signature="lanes")])

    queue.run(executor)

    assert [end.hung for end in queue.ends] == [(10, 11)]


def test_an_interrupt_ends_workers_at_once_and_gives_back_the_cluster(executor: RayExecutor, tmp_path: Path) -> None:
    queue = Queue([segment(1, "sleep"), segment(2, "sleep"), segment(3, "")])

    def press() -> None:
        until(lambda: len(list(tmp_path.glob("sleep-*"))) == 2)
        signal.raise_signal(signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, lambda *_: executor.interrupt())
    threading.Thread(target=press).start()
    began_s = time.monotonic()
    queue.run(executor)
    signal.signal(signal.SIGUSR2, before)

    assert time.monotonic() - began_s < SLEEP_S / 2
    assert queue.ends == []
    assert until(lambda: free_cpus() == 2)
