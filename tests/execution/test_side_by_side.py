"""Two kinds of slot that share a queue: real raylets on this machine, with a GPU that is a number."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from hpo.errors import ResourceError
from hpo.execution.capacity import Portion
from hpo.execution.cluster import connect, disconnect
from hpo.execution.ray import RayExecutor
from hpo.execution.side_by_side import SideBySide
from hpo.records import EndKind, Message, Report, Segment
from hpo.run import run_sweep, start_ray
from hpo.sweep import load_sweep
from tests.sleeping import Queue, Sleeper

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests

ON_GPU, ON_CPU = Portion(cpus=1, gpus=1), Portion(cpus=1)
SWEEP = """
name: kinds
data: {{kind: digits}}
model: {{kind: mlp, hidden: [8]}}
epochs: {epochs}
metric: {{name: val_accuracy, goal: maximize}}
space: {{optimizer.lr: 'loguniform(1e-3, 1)'}}
sampler: {{kind: random}}
scheduler: {{kind: none}}
budget: {{trials: {trials}}}
export: {{formats: []}}
ensemble: none
tracking: none
storage: {{checkpoints: {folder}}}
resources: {resources}
"""


@dataclass(frozen=True)
class Waiter:
    """A segment waits until both kinds have begun one, and leaves a line of its size in the file of its kind."""

    folder: Path

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        def train(segment: Segment) -> Iterator[Message]:
            with (self.folder / ("gpu" if use_gpu else "cpu")).open("a") as file:
                file.write(f"{len(segment.cohort)}\n")
            until_s = time.monotonic() + 120
            while len(list(self.folder.iterdir())) < 2:
                assert time.monotonic() < until_s, "the other kind does not begin"
                time.sleep(0.01)
            for spec in segment.cohort:
                metrics = {"val_accuracy": 0.5, "seconds": 0.02 if use_gpu else 0.4}
                yield Report(trial_id=spec.trial_id, epoch=1, metrics=metrics)

        return train


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    """A node with a GPU, and one with 2 CPUs; Ray of other tests is left before."""
    patch = pytest.MonkeyPatch()
    disconnect()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=2)
    patch.setenv("RAY_ADDRESS", cluster.address)
    connect()
    yield
    disconnect()
    cluster.shutdown()
    patch.undo()


def side_by_side(workload: Any, folder: Path, priority: float | None = None) -> SideBySide:
    first = RayExecutor(workload, folder=folder, portion=ON_GPU, priority=priority)
    return SideBySide([first, RayExecutor(workload, folder=folder, portion=ON_CPU, priority=priority, first=first)])


@pytest.mark.slow
@pytest.mark.usefixtures("two_nodes")
def test_both_kinds_train_at_once_and_the_faster_one_gets_the_larger_cohorts(tmp_path: Path) -> None:
    sizes = tmp_path / "sizes"
    sizes.mkdir()
    file = tmp_path / "kinds.yaml"
    file.write_text(SWEEP.format(epochs=1, trials=60, folder=tmp_path / "sweeps", resources="{gpus: 1, also: {}}"))

    result = run_sweep(
        load_sweep(file), start_executor=lambda *_: side_by_side(Waiter(sizes), tmp_path / "ray", priority=1.0)
    )

    held = {path.name: [int(line) for line in path.read_text().splitlines()] for path in sizes.iterdir()}
    assert result.ends == {EndKind.COMPLETE: 60}
    assert sum(held["gpu"] + held["cpu"]) == 60
    assert max(held["gpu"]) == 16  # 100 of 0.02 s fill 2 s, and 16 are the most that so few trials allow
    assert max(held["cpu"]) <= 5  # of 0.4 s


@pytest.mark.slow
@pytest.mark.usefixtures("two_nodes")
def test_what_the_driver_raises_ends_both_kinds_and_nobody_asks_it_again(tmp_path: Path) -> None:
    num_raised = 0

    def act(queue: Queue) -> None:
        nonlocal num_raised
        if len(queue.done) >= 4:
            num_raised += 1
            raise ZeroDivisionError

    queue, executor = Queue(10_000, act), side_by_side(Sleeper(0.05), tmp_path)

    with pytest.raises(ZeroDivisionError):
        executor.run(lambda _: queue.next_segment(), queue.on_report, queue.on_segment_end)

    assert num_raised == 1


@pytest.mark.slow
@pytest.mark.usefixtures("two_nodes")
def test_an_interrupt_ends_both_kinds(tmp_path: Path) -> None:
    def act(queue: Queue) -> None:
        if len(queue.done) == 4:
            executor.interrupt()

    queue, executor = Queue(10_000, act), side_by_side(Sleeper(0.05), tmp_path)

    assert executor.num_slots == 3
    executor.run(lambda _: queue.next_segment(), queue.on_report, queue.on_segment_end)

    assert queue.num_left > 0


@pytest.mark.usefixtures("two_nodes")
def test_a_kind_for_which_the_first_leaves_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kinds.yaml"
    file.write_text(SWEEP.format(epochs=1, trials=4, folder=tmp_path, resources="{also: {cpus: 2}}"))

    told = (
        "resources.also: the machines must have cpus=2 and gpus=0 left beside 3 slots of the first kind, but have not. "
        "Ask for less"
    )
    with pytest.raises(ResourceError, match=told):
        run_sweep(load_sweep(file), start_executor=start_ray)


@pytest.mark.slow
@pytest.mark.usefixtures("two_nodes")
def test_the_second_kind_gives_way_where_it_sits_in_the_place_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.execution.ray.START_S", 0.5)
    first = RayExecutor(Sleeper(0.05), folder=tmp_path, portion=ON_GPU)
    second = RayExecutor(Sleeper(0.05), folder=tmp_path, portion=ON_CPU, first=first)
    of_first, sits, until_s = Queue(2, lambda _: None), threading.Event(), time.monotonic() + 300

    def act(queue: Queue) -> None:
        sits.set()
        assert time.monotonic() < until_s, "the first kind does not begin"
        if len(of_first.done) == 2:
            queue.num_left = 0

    holder: Any = ray.remote(num_cpus=2)(threading.Event)
    other = holder.remote()
    ray.get(other.is_set.remote())  # so that there is room nowhere but on the node with the GPU
    of_second = Queue(10_000, act)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(second.run, of_second.next_segment, of_second.on_report, of_second.on_segment_end)
        sits.wait()
        ray.kill(other)
        first.run(of_first.next_segment, of_first.on_report, of_first.on_segment_end)
        run.result()

    assert sorted(of_first.done) == [1, 2]
    assert sorted(of_second.done) == list(range(1, of_second.num_begun + 1))
