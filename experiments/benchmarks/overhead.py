"""What a sweep costs beyond training: its time, less that of the same trials in a bare loop on the same cores.

    python experiments/benchmarks/overhead.py experiments/digits.yaml -s budget.trials=64

The bare loop is one process per slot that holds the data and does nothing but train: every trial of the sweep from its
first epoch to the one it reached, with no search, no rungs, no Ray and no MLflow. Both are measured warm: what happens
before the first report (Ray's start, imports in the workers) is a line of its own, and so is the end of Ray.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hpo.execution import Executor
from hpo.paths import SweepPaths
from hpo.progress import Progress
from hpo.records import Report, Segment, TrialRecord, TrialSpec
from hpo.run import run_sweep, start_ray
from hpo.search.reading import read_trials
from hpo.sweep import Sweep, load_sweep
from hpo.training.recipe import with_params
from hpo.training.workload import TorchWorkload, Trainer


@dataclass
class Observed:
    """When things happened in a sweep, in seconds of a monotonic clock."""

    started: float
    first_report: float | None = None
    ended: float = 0.0
    left_ray: float = 0.0
    num_slots: int = 1
    num_epochs: int = 0
    trials: Sequence[TrialRecord] = ()
    workloads: list[TorchWorkload] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("-s", "--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = [f"storage.checkpoints={folder}/runs", f"tracking.uri=sqlite:///{folder}/mlflow.db"]
        sweep = load_sweep(args.file, ["export.formats=[]", *places, *args.set])
        observed = observe(sweep)
        training_s = time_bare_loop(sweep, observed, SweepPaths(Path(folder) / "bare"))
    Console().print(as_table(observed, training_s))


def observe(sweep: Sweep) -> Observed:
    """Run the sweep, and look at the clock."""
    from hpo.execution.cluster import disconnect  # noqa: PLC0415 - no Ray in the processes of the bare loop

    observed = Observed(started=time.monotonic())

    def start(sweep: Sweep, workload: TorchWorkload) -> Executor:
        observed.workloads.append(workload)
        executor = start_ray(sweep, workload)
        observed.num_slots = executor.num_slots
        return executor

    def watch(_: Progress) -> None:
        observed.first_report = observed.first_report or time.monotonic()

    result = run_sweep(sweep, watch=watch, start_executor=start)
    observed.ended = time.monotonic()
    disconnect()
    observed.left_ray = time.monotonic()
    observed.num_epochs = result.num_epochs
    observed.trials = read_trials(result.paths.study, sweep.space)
    return observed


def time_bare_loop(sweep: Sweep, observed: Observed, paths: SweepPaths) -> float:
    """Seconds in which as many processes as there were slots train the same trials, the longest first."""
    workload = replace(observed.workloads[0], paths=paths)
    segments = list(same_trials(sweep, observed))
    warm_up = replace(segments[0], to_epoch=1)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(observed.num_slots)
    with ProcessPoolExecutor(observed.num_slots, spawn, _open, (workload, barrier)) as pool:
        list(pool.map(_train_together, [warm_up] * observed.num_slots))
        started = time.monotonic()
        num_epochs = sum(pool.map(_train, segments))
        training_s = time.monotonic() - started
    assert num_epochs == observed.num_epochs, (
        f"{num_epochs} epochs in the bare loop, {observed.num_epochs} in the sweep"
    )
    return training_s


def same_trials(sweep: Sweep, observed: Observed) -> Iterator[Segment]:
    """Cohorts of trials that ended at the same epoch, one for each slot, the longest first."""
    by_epoch: dict[int, list[TrialSpec]] = defaultdict(list)
    for trial in observed.trials:
        assert trial.end is not None, "the sweep has ended, so every trial has"
        recipe = with_params(sweep.recipe, trial.params).model_dump_json()
        by_epoch[trial.end.epoch].append(TrialSpec(trial_id=trial.trial_id, recipe=recipe, seed_index=trial.seed_index))
    for epoch, specs in sorted(by_epoch.items(), reverse=True):
        for slot in range(min(observed.num_slots, len(specs))):
            cohort = tuple(specs[slot :: observed.num_slots])
            yield Segment(segment_id=epoch, cohort=cohort, from_epoch=0, to_epoch=epoch, seed=sweep.seed)


def as_table(observed: Observed, training_s: float) -> Table:
    assert observed.first_report is not None, "a sweep without a report has no overhead to speak of"
    search_s = observed.ended - observed.first_report
    wall_s = observed.left_ray - observed.started
    title = f"{len(observed.trials)} trials, {observed.num_epochs} epochs, {observed.num_slots} slots"
    table = Table("", "seconds", "of the bare loop", title=title)
    for name, seconds in {
        "sweep": wall_s,
        "  start, to the first report": observed.first_report - observed.started,
        "  from there to the last end": search_s,
        "  end of Ray": observed.left_ray - observed.ended,
        "the same trials in a bare loop": training_s,
        "overhead, warm": search_s - training_s,
        "overhead, with start and end": wall_s - training_s,
    }.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / training_s:.0%}")
    for column in table.columns[1:]:
        column.justify = "right"
    return table


_train_segment: Trainer
_barrier: "multiprocessing.synchronize.Barrier"


def _open(workload: TorchWorkload, barrier: "multiprocessing.synchronize.Barrier") -> None:
    """Once for each process of the bare loop."""
    global _train_segment, _barrier  # noqa: PLW0603 - a pool gives its processes no other place to keep something
    _train_segment = workload.open(num_threads=1, use_gpu=False)
    _barrier = barrier


def _train(segment: Segment) -> int:
    """Epochs trained."""
    return sum(isinstance(message, Report) for message in _train_segment(segment))


def _train_together(segment: Segment) -> int:
    """When every process has come here, so that each is warm and none takes the work of another."""
    _barrier.wait()
    return _train(segment)


if __name__ == "__main__":
    main()
