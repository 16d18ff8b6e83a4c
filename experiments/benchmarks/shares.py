"""Three sweeps at once on one Ray cluster of 8 slots, with priorities 1, 2 and 5: who has how many, and what idles.

    python experiments/benchmarks/shares.py

Each sweep is a process with a driver of its own, as `hpo run` with RAY_ADDRESS; its segments sleep, so that the cores
of this machine do not limit.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from hpo.execution.cluster import connect
from hpo.execution.ray import RayExecutor
from hpo.records import Idle, Message, Report, Segment, SegmentEnd, TrialSpec

NUM_SLOTS = 8
SEGMENT_S = 2.0
PLAN = ((1.0, 480), (2.0, 280), (5.0, 200))
"""Priority of each sweep, and how many segments it has to train."""
SETTLING_S = 10.0
"""After the last sweep has begun, or another one has ended, workers start; then shares are measured."""


@dataclass(frozen=True)
class Sleeper:
    """A segment sleeps, and reports from when to when."""

    segment_s: float

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        return self._train

    def _train(self, segment: Segment) -> Iterator[Message]:
        from_s = time.time()
        time.sleep(self.segment_s)
        [spec] = segment.cohort
        yield Report(trial_id=spec.trial_id, epoch=1, metrics={"from_s": from_s, "to_s": time.time()})


@dataclass(frozen=True)
class Held:
    """A sweep's segment, as its worker has seen it."""

    from_s: float
    to_s: float


def run(priority: float, num_segments: int, segment_s: float = SEGMENT_S) -> list[Held]:
    """Train so many segments on the cluster that RAY_ADDRESS names."""
    connect()
    left, running, held = list(range(num_segments)), set[int](), list[Held]()

    def next_segment() -> Segment | Idle:
        if not left:
            return Idle.WAIT if running else Idle.DONE
        running.add(left[-1])
        spec = TrialSpec(trial_id=left.pop(), recipe="")
        return Segment(segment_id=spec.trial_id, cohort=(spec,), from_epoch=0, to_epoch=1, seed=0)

    def on_segment_end(end: SegmentEnd) -> None:
        running.discard(end.segment.segment_id)
        if end.lost is not None:
            left.append(end.segment.segment_id)

    with tempfile.TemporaryDirectory() as folder:
        executor = RayExecutor(Sleeper(segment_s), folder=Path(folder), priority=priority)
        executor.run(next_segment, lambda report: held.append(Held(**report.metrics)), on_segment_end)
    return sorted(held, key=lambda each: each.from_s)


def run_together(plan: tuple[tuple[float, int], ...], num_slots: int, segment_s: float) -> list[list[Held]]:
    """All sweeps at once, each in a process of its own, on a cluster of one node."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": num_slots, "include_dashboard": False})
    try:
        command = [sys.executable, str(Path(__file__).resolve())]
        sweeps = [
            subprocess.Popen(
                [*command, str(priority), str(num), str(segment_s)],
                env={**os.environ, "RAY_ADDRESS": cluster.address},
                stdout=subprocess.PIPE,
            )
            for priority, num in plan
        ]
        said = [sweep.communicate()[0].decode().splitlines()[-1] for sweep in sweeps]
        return [[Held(*each) for each in json.loads(line)] for line in said]
    finally:
        cluster.shutdown()


def mean_held(held: list[Held], from_s: float, to_s: float) -> float:
    """Slots that a sweep has trained in, on average between two moments."""
    within = (max(0.0, min(each.to_s, to_s) - max(each.from_s, from_s)) for each in held)
    return sum(within) / (to_s - from_s)


def main() -> None:
    """Print a table: phases by sweeps."""
    sweeps = run_together(PLAN, NUM_SLOTS, SEGMENT_S)
    began_s = max(held[0].from_s for held in sweeps)
    out_s = [held[-1].from_s for held in sweeps]  # nothing more to hand out
    moments = [began_s, *sorted(out_s)]
    for k in range(len(sweeps)):
        from_s, to_s = moments[k] + SETTLING_S, moments[k + 1]
        if to_s - from_s < SEGMENT_S:
            continue
        nums = [mean_held(held, from_s, to_s) for held in sweeps]
        told = ", ".join(f"{num:.2f}" for num in nums)
        print(f"{to_s - from_s:5.1f} s: slots {told}; in use {sum(nums) / NUM_SLOTS:.1%}")
    first_s, last_s = min(held[0].from_s for held in sweeps), max(out_s)
    whole = sum(mean_held(held, first_s, last_s) for held in sweeps) / NUM_SLOTS
    print(f"{last_s - first_s:5.1f} s in all, while there was work; in use {whole:.1%}")
    print("segments", [len(held) for held in sweeps])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import shares  # this file, by a name of its own: workers get it by value

        cloudpickle.register_pickle_by_value(shares)
        told = shares.run(float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
        print(json.dumps([[each.from_s, each.to_s] for each in told]))
        ray.shutdown()
    else:
        main()
