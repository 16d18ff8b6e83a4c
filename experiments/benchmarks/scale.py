"""What the driver needs for a trial, in time and memory, early and late in long sweeps.

    python experiments/benchmarks/scale.py
    python experiments/benchmarks/scale.py --cases "random, none" --trials 2000 --out here

Whole sweeps with study, scheduler, packing, budget, shelf and outbox, each in a process of its own: of trials whose
curves are a formula, on a virtual clock, and of small networks on digits through Ray. What was measured is kept in a
file of lines beside the plot, and not measured again: delete it to begin anew.
"""

import argparse
import json
import math
import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scale_report import Moment, as_markdown, plot

from hpo.execution import Executor
from hpo.execution.simulated import SimulatedExecutor
from hpo.progress import Progress
from hpo.records import Curve, TrialSpec
from hpo.run import StartExecutor, run_sweep, start_ray
from hpo.sweep import Sweep, load_sweep
from hpo.training.workload import TorchWorkload

SWEEP = """
name: scale
data: {kind: digits}
model: {kind: mlp, hidden: [32]}
epochs: 9
metric: {name: val_loss, goal: minimize}
space:
  optimizer.lr: loguniform(1e-4, 1)
  optimizer.momentum: uniform(0, 0.99)
  optimizer.weight_decay: loguniform(1e-6, 1e-2)
  model.dropout: uniform(0, 0.6)
export: {formats: []}
"""
ASHA = "scheduler={kind: asha, min_epochs: 1, eta: 3}"
NONE = "scheduler={kind: none}"
"""Every trial to its end."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A long sweep."""

    settings: tuple[str, ...]
    num_trials: int = 10_000
    start_executor: StartExecutor


def start_simulated(_: Sweep, __: TorchWorkload) -> Executor:
    """Four slots on a virtual clock."""
    return SimulatedExecutor(curve, num_slots=4, epoch_s=0.05)


def curve(spec: TrialSpec) -> Curve:
    """Least at a learning rate of 0.03, a momentum of 0.9 and a dropout of 0.2."""
    recipe = json.loads(spec.recipe)
    lr, momentum = recipe["optimizer"]["lr"], recipe["optimizer"]["momentum"]
    gaps = (math.log10(lr) + 1.5) / 2, momentum - 0.9, recipe["model"]["dropout"] - 0.2
    return [{"val_loss": sum(gap**2 for gap in gaps) + 0.3 / epoch} for epoch in range(1, 10)]


CASES = {
    "random, none": Case(settings=("sampler={kind: random}", NONE), start_executor=start_simulated),
    "random, asha": Case(settings=("sampler={kind: random}", ASHA), start_executor=start_simulated),
    "tpe, none": Case(settings=("sampler={kind: tpe}", NONE), start_executor=start_simulated),
    "tpe, asha": Case(settings=("sampler={kind: tpe}", ASHA), start_executor=start_simulated),
    "random, asha, through Ray": Case(
        settings=("sampler={kind: random}", ASHA), num_trials=1000, start_executor=start_ray
    ),
}


def main() -> None:
    args = parse()
    measured = args.out.with_suffix(".jsonl")
    for name in args.cases:
        if name not in read(measured):
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # its memory is that of this sweep alone
                moments = pool.apply(measure, (name, args.trials or CASES[name].num_trials))
            with measured.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"case": name, "moments": moments}) + "\n")
    found = read(measured)
    print(as_markdown(found))
    plot(found, args.out.with_suffix(".png"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--trials", type=int, help="of each sweep, in place of its own number")
    parser.add_argument("--out", type=Path, default=Path(__file__), help="the plot and its data are called like it")
    return parser.parse_args()


def measure(name: str, num_trials: int) -> list[Moment]:
    """A whole sweep, looked at whenever its progress is shown."""
    moments: list[Moment] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scale.yaml"
        file.write_text(SWEEP, encoding="utf-8")
        places = [f"storage.checkpoints={folder}/runs", f"tracking.uri=sqlite:///{folder}/mlflow.db"]
        sweep = load_sweep(file, [*places, f"budget.trials={num_trials}", *CASES[name].settings])

        def watch(progress: Progress) -> None:
            moments.append(look(sum(progress.ends.values()), Path(folder)))

        run_sweep(sweep, watch=watch, start_executor=CASES[name].start_executor)
    return moments


def look(num_ended: int, folder: Path) -> Moment:
    return Moment(
        num_ended=num_ended,
        wall_s=time.monotonic(),
        driver_s=time.thread_time(),
        process_s=time.process_time(),
        rss_mb=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20,
        study_mb=sum(file.stat().st_size for file in folder.glob("runs/*/study.db")) / 2**20,
        work_s=timed_work(),
    )


def timed_work() -> float:
    """Of a processor, for a fixed piece of work: what else the machine does makes it slower, as it makes the driver."""
    began = time.thread_time()
    for _ in range(50):
        json.loads(json.dumps({str(number): [number, {"value": number / 7}] for number in range(10)}))
    return time.thread_time() - began


def read(path: Path) -> dict[str, list[Moment]]:
    """By case, in the order of `CASES`."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    found = {line["case"]: [Moment(*moment) for moment in line["moments"]] for line in lines}
    return {name: found[name] for name in CASES if name in found}


if __name__ == "__main__":
    main()
