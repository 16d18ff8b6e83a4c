"""Nodes that join and leave while a sweep runs: real raylets on this machine, with logical resources."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from hpo.execution.cluster import connect, disconnect
from hpo.execution.ray import RayExecutor
from hpo.records import Idle, Message, Report, Segment, SegmentEnd, TrialSpec

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests

HEARTBEATS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 4}


@dataclass(frozen=True)
class Sleeper:
    """Each epoch sleeps; reported is the node, the metric's name."""

    epoch_s: float

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        return self._train

    def _train(self, segment: Segment) -> Iterator[Message]:
        node = ray.get_runtime_context().get_node_id()
        for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
            time.sleep(self.epoch_s)
            for spec in segment.cohort:
                yield Report(trial_id=spec.trial_id, epoch=epoch, metrics={node: 1.0})


@dataclass
class Queue:
    """Hands out as many segments as it is told to, and again what was lost; acts when nodes have been seen."""

    num_left: int
    act: Callable[["Queue"], None]
    reports: list[Report] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    lost: list[Segment] = field(default_factory=list)
    num_lost: int = 0
    num_running: int = 0
    num_begun: int = 0

    def next_segment(self) -> Segment | Idle:
        if not self.lost and self.num_left == 0:
            return Idle.WAIT if self.num_running else Idle.DONE
        self.num_running += 1
        if self.lost:
            return self.lost.pop()
        self.num_left -= 1
        self.num_begun += 1
        spec = TrialSpec(trial_id=self.num_begun, recipe="")
        return Segment(segment_id=self.num_begun, cohort=(spec,), from_epoch=0, to_epoch=2, seed=0)

    def on_report(self, report: Report) -> None:
        self.reports.append(report)
        self.act(self)

    def on_segment_end(self, end: SegmentEnd) -> None:
        self.num_running -= 1
        if end.lost is None:
            self.done.append(end.segment.segment_id)
        else:
            self.num_lost += 1
            self.lost.append(end.segment)

    @property
    def nodes(self) -> Counter[str]:
        """How often each was reported."""
        return Counter(name for report in self.reports for name in report.metrics)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """One node with one slot, which this process has joined; Ray of other tests is left before."""
    disconnect()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": HEARTBEATS},
    )
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    connect()
    yield cluster
    disconnect()
    cluster.shutdown()


@pytest.mark.slow
def test_a_node_that_joins_is_used_and_one_that_leaves_costs_its_segments_only(
    cluster: Cluster, tmp_path: Path
) -> None:
    steps: list[Any] = []

    def act(queue: Queue) -> None:
        if not steps:
            steps.append(cluster.add_node(num_cpus=2))
        if len(steps) == 1 and len(queue.nodes) == 2 and executor.num_slots == 3:
            steps.append(executor.num_slots)
            cluster.remove_node(steps[0], allow_graceful=False)
        if len(steps) == 2 and executor.num_slots == 1 and queue.num_lost:
            steps.append(executor.num_slots)
            queue.num_left = 3

    queue = Queue(10_000, act)
    executor = RayExecutor(Sleeper(0.3), folder=tmp_path)

    executor.run(queue.next_segment, queue.on_report, queue.on_segment_end)

    assert steps[1:] == [3, 1]
    assert len(queue.nodes) == 2
    assert 1 <= queue.num_lost <= 3
    assert sorted(queue.done) == list(range(1, queue.num_begun + 1))
