"""What proposals cost, how far apart those for one cohort lie, and what a trial costs the driver of a large sweep.

    python experiments/benchmarks/proposals.py
    python experiments/benchmarks/proposals.py --samplers tpe gp --sizes 1000 --without-growth

Everything runs on one core, each sampler in a process of its own; the least of three times counts.
"""

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from proposal_batches import Spread, spread_of_batch, spread_one_by_one
from proposal_costs import Costs, make_studies, measure
from proposal_growth import seconds_per_trial

from hpo.scheduling import Asha, NoScheduler, Scheduler
from hpo.search.samplers import Cmaes, Coordinate, Curves, Gp, Qmc, Random, Refine, Sampler, Tpe

HERE = Path(__file__).resolve().parent
SAMPLERS: Mapping[str, Sampler] = {
    "random": Random(),
    "qmc": Qmc(),
    "tpe": Tpe(),
    "gp": Gp(),
    "cmaes": Cmaes(),
    "curves": Curves(),
    "coordinate": Coordinate(),
    "refine": Refine(),
}
SCHEDULERS: Mapping[str, Scheduler] = {
    "none": NoScheduler(),
    "asha": Asha(),
    "asha, promotion": Asha(form="promotion"),
}
SIZES = (100, 1_000, 10_000)
NUM_TOLD = (20, 60)
NUM_REPEATS = 3


def main() -> None:
    args = parse()
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes that measure
    samplers = {name: SAMPLERS[name] for name in args.samplers}
    costs, batches = table_of_costs(samplers, args.sizes), table_of_batches(samplers)
    growth = "" if args.without_growth else table_of_growth(args.sizes)
    notes = NOTES.format(costs=costs, batches=batches, growth=growth)
    print(notes)
    args.out.write_text(notes, encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=[*SAMPLERS])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="trials that the study holds")
    parser.add_argument("--without-growth", action="store_true", help="without the driver's part, the longest")
    parser.add_argument("--out", type=Path, default=HERE / "proposals.md")
    return parser.parse_args()


def table_of_costs(samplers: Mapping[str, Sampler], sizes: Sequence[int]) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        studies = dict(make_studies(Path(folder), sizes))
        for name, sampler in samplers.items():
            for size, study in studies.items():
                costs: Costs = apart(partial(measure, sampler, study, NUM_REPEATS))
                seconds = (costs.load, costs.study, costs.alone, costs.first)
                rows.append([name, str(size), *(f"{each.wall:.2f} ({each.processor:.2f})" for each in seconds)])
    return as_markdown(["sampler", "trials", "load the study", "64 proposals", "without the study", "the first"], rows)


def table_of_batches(samplers: Mapping[str, Sampler]) -> str:
    rows = []
    for name, sampler in samplers.items():
        for num_told in NUM_TOLD:
            cells = []
            for spread_by in (spread_of_batch, spread_one_by_one):
                spreads: list[Spread] = [spread_by(sampler, num_told, seed) for seed in range(NUM_REPEATS)]
                cells.append(f"{fmean(spread.num_near for spread in spreads):.1f}")
                cells.append(f"{fmean(spread.to_nearest for spread in spreads):.3f}")
            rows.append([name, str(num_told), *cells])
    head = ["sampler", "told", "near pairs", "to the nearest", "near pairs, one by one", "to the nearest, one by one"]
    return as_markdown(head, rows)


def table_of_growth(sizes: Sequence[int]) -> str:
    rows = [
        [name, *(f"{1000 * apart(partial(seconds_per_trial, scheduler, size)):.1f}" for size in sizes)]
        for name, scheduler in SCHEDULERS.items()
    ]
    return as_markdown(["scheduler", *(f"{size} trials" for size in sizes)], rows)


def apart(work: Callable[[], Any]) -> Any:
    """In a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work).result()


def as_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


NOTES = """\
# Proposals

On one core, the least of three: seconds, and in brackets those of the processor. Eight params (five floats, two of them
on a logarithm, one in steps, a whole number and a choice); of the trials in the study two thirds were stopped at each
rung, one in seven diverged, one in fifty failed.

{costs}

- **load the study**: open a study of so many trials, ready to propose.
- **64 proposals**: `Study.ask(64)`, each written to the database.
- **without the study**: the same by the search in memory alone; **the first** of these learns from the trials, and what
  it has learnt serves the others. After a trial has ended, the next proposal is a first one.

## Cohorts

16 proposals after some trials of a quadratic in four dimensions were told, asked for at once and one by one, each told
before the next: pairs less than 0.001 apart, and the mean distance to the nearest other, in the unit cube, over three
seeds.

{batches}

## The driver

Milliseconds of the processor for a trial of a simulated search at random, over curves of 9 epochs that cost nothing:
proposals, reports, decisions, progress, and their place in the database.

{growth}

Again: `python experiments/benchmarks/proposals.py`
"""

if __name__ == "__main__":
    main()
