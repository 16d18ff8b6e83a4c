"""What every executor promises; see hpo.execution.executor."""

import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray
from ray import cloudpickle

from hpo.errors import ResourceError
from hpo.execution import Executor, LocalExecutor, Workload
from hpo.execution.capacity import Portion, unmet
from hpo.execution.ray import RayExecutor
from hpo.execution.simulated import SimulatedExecutor
from hpo.paths import SweepPaths
from hpo.records import Curve, Failure, Idle, Report, Segment, SegmentEnd, TrialSpec
from hpo.training.data import Digits
from hpo.training.models import Mlp
from hpo.training.recipe import Recipe
from hpo.training.workload import TorchWorkload

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests

MakeExecutor = Callable[[Workload], Executor]


@dataclass(frozen=True)
class Arithmetic:
    """A trial's loss at an epoch is their sum; the recipe says what else happens."""

    scratch: Path

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Report | Failure]]:
        return self._train

    def _train(self, segment: Segment) -> Iterator[Report | Failure]:
        for trial in segment.cohort:
            if trial.recipe == "raise":
                yield Failure(trial_id=trial.trial_id, error="ValueError: no", traceback="Traceback: no")
                continue
            for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
                if trial.recipe == "die once" and not (self.scratch / "died").exists():
                    (self.scratch / "died").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                yield Report(trial_id=trial.trial_id, epoch=epoch, metrics={"val_loss": float(trial.trial_id + epoch)})


@dataclass(frozen=True)
class Process:
    """A trial reports its process; one with the recipe `hold` waits until somebody opens the gate."""

    gate: Path

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Report | Failure]]:
        return self._train

    def _train(self, segment: Segment) -> Iterator[Report | Failure]:
        for trial in segment.cohort:
            if trial.recipe == "hold":
                self.gate.read_bytes()
            yield Report(trial_id=trial.trial_id, epoch=1, metrics={"process": os.getpid()})


@dataclass
class Conversation:
    """Hands out segments, waiting for one to end before the last, and notes all that is said."""

    segments: list[Segment]
    heard: list[Report | SegmentEnd] = field(default_factory=list)
    num_running: int = 0

    def next_segment(self) -> Segment | Idle:
        if not self.segments:
            return Idle.WAIT if self.num_running else Idle.DONE
        if len(self.segments) == 1 and self.num_running:
            return Idle.WAIT
        self.num_running += 1
        return self.segments.pop(0)

    def on_segment_end(self, end: SegmentEnd) -> None:
        self.num_running -= 1
        self.heard.append(end)

    def hold(self, executor: Executor) -> None:
        executor.run(self.next_segment, self.heard.append, self.on_segment_end)

    @property
    def ends(self) -> dict[int, SegmentEnd]:
        return {end.segment.segment_id: end for end in self.heard if isinstance(end, SegmentEnd)}

    @property
    def reports(self) -> dict[int, list[Report]]:
        by_trial = defaultdict(list)
        for report in self.heard:
            if isinstance(report, Report):
                by_trial[report.trial_id].append(report)
        return by_trial


def segment(segment_id: int, *recipes: str, to_epoch: int = 3) -> Segment:
    cohort = tuple(TrialSpec(trial_id=10 * segment_id + k, recipe=recipe) for k, recipe in enumerate(recipes))
    return Segment(segment_id=segment_id, cohort=cohort, from_epoch=0, to_epoch=to_epoch, seed=0)


def arithmetic_curve(trial: TrialSpec) -> Curve:
    """What `Arithmetic` measures."""
    if trial.recipe == "raise":
        raise ValueError("no")
    return [{"val_loss": float(trial.trial_id + epoch)} for epoch in (1, 2, 3)]


@pytest.fixture(params=["local", "ray", "simulated"])
def make_executor(request: pytest.FixtureRequest, tmp_path: Path) -> MakeExecutor:
    if request.param == "local":
        return LocalExecutor
    if request.param == "simulated":
        return lambda workload: SimulatedExecutor(arithmetic_curve, num_slots=2)
    request.getfixturevalue("two_slots")
    return lambda workload: RayExecutor(workload, folder=tmp_path)


@pytest.fixture
def in_ray(two_slots: None, tmp_path: Path) -> MakeExecutor:
    return lambda workload: RayExecutor(workload, folder=tmp_path)


def test_every_report_arrives_in_order_and_before_its_segments_end(make_executor: MakeExecutor, tmp_path: Path) -> None:
    conversation = Conversation([segment(1, "", ""), segment(2, ""), segment(3, "", "", "")])

    conversation.hold(make_executor(Arithmetic(tmp_path)))

    assert sorted(conversation.ends) == [1, 2, 3]
    assert {trial_id: [r.epoch for r in reports] for trial_id, reports in conversation.reports.items()} == {
        trial_id: [1, 2, 3] for trial_id in (10, 11, 20, 30, 31, 32)
    }
    for end in conversation.ends.values():
        last_of_segment = [conversation.reports[trial.trial_id][-1] for trial in end.segment.cohort]
        assert max(map(conversation.heard.index, last_of_segment)) < conversation.heard.index(end)


def test_a_trial_that_raises_becomes_a_record_and_the_others_go_on(make_executor: MakeExecutor, tmp_path: Path) -> None:
    conversation = Conversation([segment(1, "", "raise", "")])

    conversation.hold(make_executor(Arithmetic(tmp_path)))

    [failure] = conversation.ends[1].failures
    assert (failure.trial_id, failure.error) == (11, "ValueError: no")
    assert set(conversation.reports) == {10, 12}


def test_what_the_driver_raises_comes_out_as_it_is(make_executor: MakeExecutor, tmp_path: Path) -> None:
    def on_report(report: Report) -> None:
        raise KeyboardInterrupt if report.epoch > 99 else ZeroDivisionError("the driver's own")

    conversation = Conversation([segment(1, "")])
    executor = make_executor(Arithmetic(tmp_path))

    with pytest.raises(ZeroDivisionError, match="the driver's own"):
        executor.run(conversation.next_segment, on_report, conversation.on_segment_end)


def test_an_interrupted_run_returns_though_there_is_more_to_do(make_executor: MakeExecutor, tmp_path: Path) -> None:
    conversation = Conversation([segment(1, "", ""), segment(2, "")])
    executor = make_executor(Arithmetic(tmp_path))

    def on_report(report: Report) -> None:
        conversation.heard.append(report)
        executor.interrupt()

    executor.run(conversation.next_segment, on_report, conversation.on_segment_end)

    assert set(conversation.ends) <= {1}
    assert set(conversation.reports) <= {10, 11}
    assert len(conversation.segments) == 1


def test_training_in_this_process_is_cut_short_by_an_interrupt_and_what_the_driver_does_is_not(tmp_path: Path) -> None:
    conversation = Conversation([segment(1, "hold", to_epoch=1)])
    os.mkfifo(tmp_path / "gate")
    executor = LocalExecutor(Process(tmp_path / "gate"))

    def next_segment() -> Segment | Idle:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        return conversation.next_segment()

    before = signal.signal(signal.SIGALRM, lambda *_: executor.interrupt())
    executor.run(next_segment, conversation.heard.append, conversation.on_segment_end)
    signal.signal(signal.SIGALRM, before)

    assert conversation.num_running == 1
    assert conversation.heard == []


def test_nothing_to_do_is_done_at_once(make_executor: MakeExecutor, tmp_path: Path) -> None:
    conversation = Conversation([])

    conversation.hold(make_executor(Arithmetic(tmp_path)))

    assert conversation.heard == []


def test_a_dead_worker_loses_its_segment_and_no_other(in_ray: MakeExecutor, tmp_path: Path) -> None:
    conversation = Conversation([segment(1, "die once"), segment(2, ""), segment(3, "", "")])

    conversation.hold(in_ray(Arithmetic(tmp_path)))

    assert conversation.ends[1].lost is not None
    assert [conversation.ends[k].lost for k in (2, 3)] == [None, None]
    assert {trial_id: len(reports) for trial_id, reports in conversation.reports.items()} == {20: 3, 30: 3, 31: 3}


def test_a_worker_that_had_to_wait_is_there_for_the_next_segment(in_ray: MakeExecutor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    rounds = [[segment(1, ""), segment(2, "hold")], [segment(3, ""), segment(4, "")]]
    conversation = Conversation(rounds.pop(0))

    def next_segment() -> Segment | Idle:
        if conversation.segments:
            conversation.num_running += 1
            return conversation.segments.pop(0)
        if conversation.num_running == 1:
            with suppress(OSError):  # nobody stands there yet
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        if conversation.num_running:
            return Idle.WAIT
        if not rounds:
            return Idle.DONE
        conversation.segments = rounds.pop(0)
        return next_segment()

    in_ray(Process(gate)).run(next_segment, conversation.heard.append, conversation.on_segment_end)

    processes = {report.metrics["process"] for reports in conversation.reports.values() for report in reports}
    assert set(conversation.ends) == {1, 2, 3, 4}
    assert len(processes) <= 2


def test_ray_says_at_once_that_no_node_is_large_enough(two_slots: None, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"a node must offer cpus=64 and gpus=1, but the largest of 1 has 2 CPUs"):
        RayExecutor(Arithmetic(tmp_path), folder=tmp_path, portion=Portion(cpus=64, gpus=1))


def test_a_cluster_that_grows_is_waited_for(two_slots: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    executor = RayExecutor(
        Arithmetic(tmp_path), folder=tmp_path, portion=Portion(cpus=64), max_concurrent=7, autoscaling=True
    )

    assert executor.num_slots == 7
    assert "a node must offer cpus=64 and gpus=0, but the largest of 1 has 2 CPUs and 0 GPUs. The sweep waits" in (
        caplog.text
    )


def test_a_segment_that_no_node_holds_says_so_until_one_does(two_slots: None, tmp_path: Path) -> None:
    executor = RayExecutor(
        Arithmetic(tmp_path), folder=tmp_path, portion=Portion(cpus=64), max_concurrent=1, autoscaling=True
    )
    conversation = Conversation([segment(1, "")])
    said = []

    def ask() -> None:
        while (unmet := executor.unmet()) is None:
            time.sleep(0.05)
        said.append(unmet)
        executor.interrupt()

    asking = threading.Thread(target=ask)
    asking.start()
    conversation.hold(executor)
    asking.join()

    [sentence] = said
    assert sentence.startswith("1 segment waits for a worker with cpus=64 and gpus=0, for which none of the cluster's")


def test_what_a_segment_waits_for_is_told_in_numbers(two_slots: None) -> None:
    assert unmet(2, Portion()) == (
        "2 segments wait for a worker with cpus=1 and gpus=0; the cluster has 2 of 2 CPUs free"
    )


def test_nothing_waits_when_all_is_over(make_executor: MakeExecutor, tmp_path: Path) -> None:
    executor = make_executor(Arithmetic(tmp_path))

    Conversation([segment(1, "")]).hold(executor)

    assert executor.unmet() is None


def test_slots_follow_the_resources_of_a_segment(two_slots: None, tmp_path: Path) -> None:
    slots = [
        RayExecutor(Arithmetic(tmp_path), folder=tmp_path, **settings).num_slots
        for settings in ({}, {"portion": Portion(cpus=0.5)}, {"portion": Portion(cpus=2)}, {"max_concurrent": 1})
    ]

    assert slots == [2, 4, 1, 1]


def test_real_training_gives_the_same_reports_on_every_executor(two_slots: None, tmp_path: Path) -> None:
    splits = Digits().load(0)
    recipe = Recipe(model=Mlp(hidden=(16,), dropout=0.2)).model_dump_json()

    def measured(make: MakeExecutor, folder: Path) -> dict[int, list[tuple[float, float]]]:
        workload = TorchWorkload(
            train=splits.train,
            validation=splits.validation,
            num_classes=10,
            paths=SweepPaths(folder),
            lanes=1,  # auto goes by a clock, and lanes differ in the last digits
        )
        conversation = Conversation([segment(1, recipe, recipe), segment(2, recipe)])
        conversation.hold(make(workload))
        return {
            trial_id: [(report.metrics["train_loss"], report.metrics["val_accuracy"]) for report in reports]
            for trial_id, reports in conversation.reports.items()
        }

    local = measured(LocalExecutor, tmp_path / "local")
    remote = measured(lambda workload: RayExecutor(workload, folder=tmp_path / "tune"), tmp_path / "ray")

    assert remote == local
    assert ray.is_initialized()
