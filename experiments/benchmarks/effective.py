"""Searches in effective and in raw coordinates, at an equal budget: how good is the best trial so far?

    python experiments/benchmarks/effective.py
    python experiments/benchmarks/effective.py --samplers tpe coordinate --seeds 5 --trials 40

Runs the sweep of experiments/effective.yaml, and the same one over `RAW`, with each sampler and seed, by validation
loss and by validation accuracy. A seed has one split and one luck for all. Trials are proposed in waves of four, which
know the results of those before. Runs are added to a file, and those that are there are not run again: delete the file,
or name another, to begin anew. Prints the tables of experiments/effective.md.
"""

import argparse
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hpo.execution.simulated import SimulatedExecutor
from hpo.records import Curve, EndKind, Failure, Report, Segment, TrialRecord, TrialSpec
from hpo.run import run_sweep
from hpo.search.reading import read_trials
from hpo.sweep import Sweep, load_sweep
from hpo.training.workload import TorchWorkload

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "experiments" / "effective.yaml"
RAW = {
    "optimizer.lr": "loguniform(0.01, 1)",
    "optimizer.weight_decay": "loguniform(1e-4, 0.1)",
    "optimizer.momentum": "uniform(0.5, 0.95)",
    "batch_size": "choice(32, 64, 128, 256)",
}
SPACES: Mapping[str, Sequence[str]] = {"effective": (), "raw": (f"space={json.dumps(RAW)}",)}
"""Overrides of the file."""
METRICS = {"val_loss": "minimize", "val_accuracy": "maximize"}
SAMPLERS = ["coordinate", "coordinate, factor: 4", "tpe", "random"]
NUM_AT_ONCE = 4
EPOCH_S = 60.0
"""Virtual, and so long that no trial waits for others of its cohort."""
DIVERGED = {"val_loss": math.nan}
"""What an executor takes for that."""
MOMENTS = (5, 10, 20, 40, 80)
"""Trials after which searches are compared."""

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One sweep."""

    metric: str
    sampler: str
    space: str
    seed: int
    num_trials: int
    costs: Sequence[float | None]
    """What every trial came to, in the order in which they were proposed; none of one that diverged."""

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        return self.metric, self.sampler, self.space, self.seed, self.num_trials

    @property
    def best_so_far(self) -> Values:
        """[trials]."""
        return np.minimum.accumulate([math.inf if cost is None else cost for cost in self.costs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=list(METRICS))
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS, help="kinds; further settings after a comma")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--runs", type=Path, default=Path("effective_runs.jsonl"))
    args = parser.parse_args()
    wanted = [
        (metric, sampler, space, seed, args.trials)
        for seed, metric, sampler, space in itertools.product(range(args.seeds), args.metrics, args.samplers, SPACES)
    ]
    runs = {run.key: run for run in read(args.runs)}
    for number, key in enumerate(wanted, start=1):
        if key not in runs:
            started = time.monotonic()
            runs[key] = search(*key)
            with args.runs.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(runs[key])) + "\n")
            print(f"{number}/{len(wanted)} {key}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    for metric in args.metrics:
        print(as_markdown([runs[key] for key in wanted if key[0] == metric]), end="\n\n")


def read(path: Path) -> list[Run]:
    """What was run before."""
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def search(metric: str, sampler: str, space: str, seed: int, num_trials: int) -> Run:
    """One sweep, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "metric": json.dumps({"name": metric, "goal": METRICS[metric]}),
            "sampler": f"{{kind: {sampler}}}",
            "seed": seed,
            "budget.trials": num_trials,
            "resources.lanes": 1,
            "export.formats": "[]",
            "tracking": "none",
            "storage.checkpoints": folder,
        }
        sweep = load_sweep(FILE, [*SPACES[space], *(f"{path}={value}" for path, value in settings.items())])
        result = run_sweep(sweep, start_executor=start)
        trials = read_trials(result.paths.study, sweep.space)
    costs = [cost_of(trial, metric) for trial in trials]
    return Run(metric=metric, sampler=sampler, space=space, seed=seed, num_trials=num_trials, costs=costs)


def start(sweep: Sweep, workload: TorchWorkload) -> SimulatedExecutor:
    """An executor whose slots take turns in this process, but not on the virtual clock."""
    train = workload.open(num_threads=1, use_gpu=False)

    def curve_of(spec: TrialSpec) -> Curve:
        task = Segment(segment_id=spec.trial_id, cohort=(spec,), from_epoch=0, to_epoch=sweep.epochs, seed=sweep.seed)
        curve = [measured(message) for message in train(task)]
        return curve + [DIVERGED] * (sweep.epochs - len(curve))

    return SimulatedExecutor(curve_of, num_slots=NUM_AT_ONCE, epoch_s=EPOCH_S)


def measured(message: Report | Failure) -> Mapping[str, float]:
    """What a trial reports, but for the time that it took.

    Raises:
        RuntimeError: if its code has raised.
    """
    match message:
        case Failure():
            raise RuntimeError(message.traceback)
        case Report(first_bad_step=None):
            return {name: value for name, value in message.metrics.items() if name.startswith("val_")}
        case _:
            return DIVERGED


def cost_of(trial: TrialRecord, metric: str) -> float | None:
    """Validation loss, or error in per cent, of a trial that was complete."""
    if trial.end is None or trial.end.kind is not EndKind.COMPLETE:
        return None
    return trial.end.metrics["val_loss"] if metric == "val_loss" else 100 * (1 - trial.end.metrics["val_accuracy"])


def as_markdown(runs: Sequence[Run]) -> str:
    """The best so far by sampler and space, then differences, paired by seed."""
    moments = [num for num in MOMENTS if num <= runs[0].num_trials]
    unit, digits = ("loss", 4) if runs[0].metric == "val_loss" else ("error in per cent", 2)
    found: dict[tuple[str, str], Values] = {}
    for sampler, space in dict.fromkeys((run.sampler, run.space) for run in runs):
        alike = [run.best_so_far for run in runs if (run.sampler, run.space) == (sampler, space)]
        found[sampler, space] = np.array(alike)[:, [moment - 1 for moment in moments]]
    rows = {f"{sampler}, {space}": (values, "") for (sampler, space), values in found.items()}
    for sampler in dict.fromkeys(sampler for sampler, _ in found):
        rows[f"{sampler}, effective less raw"] = (found[sampler, "effective"] - found[sampler, "raw"], "+")
    head = [f"best validation {unit} after", *(f"{moment} trials" for moment in moments)]
    cells = [[name, *(as_text(column, sign, digits) for column in values.T)] for name, (values, sign) in rows.items()]
    lines = [head, ["---", *["---:"] * len(moments)], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_text(values: Values, sign: str, digits: int) -> str:
    """Mean over seeds, and its 95 % interval by Student's t."""
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():{sign}.{digits}f} \u00b1 {reach:.{digits}f}"


if __name__ == "__main__":
    main()
