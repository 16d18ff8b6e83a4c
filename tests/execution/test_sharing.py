"""A sweep among others on one Ray cluster; the others only claim."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from hpo.execution.cluster import connect, disconnect
from hpo.execution.commons import NAME, NAMESPACE, Share
from hpo.execution.ray import RayExecutor
from hpo.scheduling.shares import Claim
from tests.sleeping import Queue, Sleeper

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def three_slots() -> Iterator[None]:
    """A cluster that this process has joined by its address; Ray of other tests is left before."""
    disconnect()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "include_dashboard": False})
    os.environ["RAY_ADDRESS"] = cluster.address
    connect()
    yield
    del os.environ["RAY_ADDRESS"]
    disconnect()
    cluster.shutdown()


def claim(priority: float) -> Claim:
    return Claim(priority=priority, needs={"CPU": 1.0}, wanted=100)


def test_a_sweep_takes_its_share_and_all_when_the_others_have_left(three_slots: None, tmp_path: Path) -> None:
    other, said, most_beside = Share(), set[str | None](), 0

    def act(queue: Queue) -> None:
        nonlocal most_beside
        if len(queue.done) < 6:
            other.claim(claim(2.0))
            said.add(executor.unmet())
            most_beside = max(most_beside, queue.num_running)
        elif len(queue.done) == 6:
            other.leave()
        elif queue.num_running == 3:
            queue.num_left = 0

    other.claim(claim(2.0))
    queue = Queue(10_000, act)
    executor = RayExecutor(Sleeper(0.2), folder=tmp_path, priority=1.0)
    executor.run(queue.next_segment, queue.on_report, queue.on_segment_end)

    assert most_beside == 1
    assert said == {"waits for its share: 1 of 3 slots, beside another sweep"}
    assert sorted(queue.done) == list(range(1, queue.num_begun + 1))


def test_a_sweep_without_a_slot_stands_down_until_it_has_one(three_slots: None, tmp_path: Path) -> None:
    others, said = [Share() for _ in range(3)], set[str | None]()
    for other in others:
        other.claim(claim(1.0))
    queue = Queue(2, lambda _: None)
    executor = RayExecutor(Sleeper(0.1), folder=tmp_path, priority=1.0)

    def leave() -> None:
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            said.update({executor.unmet()} - {None})
            for other in others:
                other.claim(claim(1.0))
        for other in others:
            other.leave()

    leaving = threading.Thread(target=leave)
    leaving.start()
    executor.run(queue.next_segment, queue.on_report, queue.on_segment_end)
    leaving.join()

    assert said == {"waits for its share: 0 of 3 slots, beside 3 others"}
    assert sorted(queue.done) == [1, 2]


def test_a_sweep_goes_on_where_nobody_tells_its_share(three_slots: None, tmp_path: Path) -> None:
    def act(queue: Queue) -> None:
        if len(queue.reports) == 1:
            ray.kill(ray.get_actor(NAME, NAMESPACE), no_restart=True)

    queue = Queue(8, act)

    executor = RayExecutor(Sleeper(0.3), folder=tmp_path, priority=1.0)
    executor.run(queue.next_segment, queue.on_report, queue.on_segment_end)

    assert sorted(queue.done) == list(range(1, 9))
