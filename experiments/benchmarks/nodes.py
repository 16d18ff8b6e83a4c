"""How trial-epochs per second grow with nodes, and how many segments per second one driver hands out.

    python experiments/benchmarks/nodes.py nodes
    python experiments/benchmarks/nodes.py slots --num-slots 12 --segment-s 0.3 --profile

Epochs sleep, so that the cores of this machine do not limit; everything else is what `hpo run` does on a Ray cluster.
`nodes`: raylets with one slot each join one running sweep, 1, 2, 4, 8. `slots`: one raylet; each segment is one trial,
and shorter than any of a sweep would be, so that the driver is what limits.
"""

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from hpo.execution.cluster import connect, disconnect
from hpo.execution.ray import RayExecutor
from hpo.records import Message, Report, Segment
from hpo.run import run_sweep
from hpo.scheduling.packing import SEGMENT_S
from hpo.sweep import load_sweep

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file

SWEEP = """
name: nodes
data: {{kind: digits}}
model: {{kind: mlp, hidden: [8]}}
epochs: {epochs}
metric: {{name: val_accuracy, goal: maximize}}
space: {{optimizer.lr: 'loguniform(1e-3, 1)'}}
sampler: {{kind: random}}
scheduler: {{kind: none}}
budget: {{trials: 100000}}
export: {{formats: []}}
ensemble: none
tracking: none
storage: {{checkpoints: {folder}}}
"""


@dataclass(frozen=True)
class Sleeper:
    """Each epoch sleeps and leaves a line with its end in the file of its node."""

    folder: Path
    epoch_s: float
    told_s: float
    """What the epoch is said to have taken: cohorts go by that."""

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        return self._train

    def _train(self, segment: Segment) -> Iterator[Message]:
        path = self.folder / f"{ray.get_runtime_context().get_node_id()}-{os.getpid()}"
        for spec in segment.cohort:
            for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
                time.sleep(self.epoch_s)
                with path.open("a") as file:
                    file.write(f"{time.time()}\n")
                metrics = {"val_accuracy": 0.5, "seconds": self.told_s}
                yield Report(trial_id=spec.trial_id, epoch=epoch, metrics=metrics)


def count(folder: Path, from_s: float, to_s: float) -> int:
    """Epochs that ended between two moments."""
    return sum(from_s <= float(line) < to_s for path in folder.iterdir() for line in path.read_text().splitlines())


def num_workers(folder: Path) -> int:
    """Workers that have ever trained."""
    return len(list(folder.iterdir()))


class OverError(Exception):
    """Enough was measured."""


def drive(epochs: int, epoch_s: float, told_s: float, watch: Callable[[Path], None]) -> None:
    """A sweep on the cluster that RAY_ADDRESS names, until `watch`, which is given the folder of ends, has enough."""
    connect()
    with tempfile.TemporaryDirectory() as name:
        folder, ends = Path(name), Path(name) / "ends"
        ends.mkdir()
        workload = Sleeper(ends, epoch_s, told_s)
        file = folder / "nodes.yaml"
        file.write_text(SWEEP.format(epochs=epochs, folder=folder / "sweeps"))
        try:
            run_sweep(
                load_sweep(file),
                watch=lambda _: watch(ends),
                start_executor=lambda *_: RayExecutor(workload, folder=folder / "ray", priority=1.0),
            )
        except OverError:
            return
        finally:
            disconnect()


def measure_nodes(nums: Sequence[int], seconds: float) -> None:
    """Print epochs per second for each number of nodes, and their ratio to the first."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    os.environ["RAY_ADDRESS"] = cluster.address
    left, rates = list(nums), dict[int, float]()
    joined_s = since_s = 0.0

    def watch(ends: Path) -> None:
        nonlocal joined_s, since_s
        now_s = time.time()
        if num_workers(ends) < left[0]:
            return
        if since_s == 0.0:
            since_s = now_s
            print(f"{left[0]} nodes train, {now_s - joined_s:.1f} s after the last was added", flush=True)
        if now_s - since_s < seconds:
            return
        num = left.pop(0)
        rates[num] = count(ends, since_s, now_s) / (now_s - since_s)
        print(f"| {num} | {rates[num]:.2f} | {rates[num] / rates[nums[0]] / num:.1%} |", flush=True)
        if not left:
            raise OverError
        for _ in range(left[0] - num):
            cluster.add_node(num_cpus=1)
        joined_s, since_s = time.time(), 0.0

    try:
        drive(epochs=4, epoch_s=0.5, told_s=0.5, watch=watch)
    finally:
        cluster.shutdown()


def measure_slots(num_slots: int, segment_s: float, seconds: float, *, profiles: bool) -> None:
    """Print segments per second and, if asked for, where the driver's time goes."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": num_slots, "include_dashboard": False})
    os.environ["RAY_ADDRESS"] = cluster.address
    profile, since = cProfile.Profile(), defaultdict(float)

    def watch(ends: Path) -> None:
        now_s = time.time()
        if num_workers(ends) < num_slots:
            return
        if not since:
            since.update(wall=now_s, cpu=time.process_time())
            if profiles:
                profile.enable()
        elapsed_s = now_s - since["wall"]
        if elapsed_s < seconds:
            return
        profile.disable()
        num = count(ends, since["wall"], now_s)
        cpu_s = time.process_time() - since["cpu"]
        print(
            f"{num_slots} slots, segments of {segment_s:g} s: {num / elapsed_s:.1f} segments per second of at most "
            f"{num_slots / segment_s:.1f}; the driver took {1000 * cpu_s / num:.1f} ms of a core for each"
        )
        raise OverError

    try:
        drive(epochs=1, epoch_s=segment_s, told_s=SEGMENT_S, watch=watch)
    finally:
        cluster.shutdown()
    if profiles:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


def main() -> None:
    """As asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["nodes", "slots"])
    parser.add_argument("--nums", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--num-slots", type=int, default=12)
    parser.add_argument("--segment-s", type=float, default=0.3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    if asked.what == "nodes":
        measure_nodes(asked.nums, asked.seconds)
    else:
        measure_slots(asked.num_slots, asked.segment_s, asked.seconds, profiles=asked.profile)


if __name__ == "__main__":
    main()
