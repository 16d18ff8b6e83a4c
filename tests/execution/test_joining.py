"""Nodes that join and leave while a sweep runs: real raylets on this machine, with logical resources."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from hpo.execution.cluster import connect, disconnect
from hpo.execution.ray import RayExecutor
from tests.sleeping import Queue, Sleeper

HEARTBEATS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 4}


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
