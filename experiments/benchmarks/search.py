"""Ways to search, on learning curves that are known: ours and peers, as themselves, at an equal budget.

    python experiments/benchmarks/search.py --lcbench SURROGATE.npz REFERENCE.json --jobs 2
    python experiments/benchmarks/search.py --tasks TASKS.json --methods "random" "mine" \
        --ours "mine={sampler: {kind: tpe}, scheduler: {kind: asha, min_epochs: 6}}"

Four workers train in virtual time. The value of a search is the best validation accuracy that any trial has shown at
any epoch so far; its regret is 0 at the best there is and 1 at a typical random draw. Runs are added to a file, and
those that are there are not run again: delete the file, or name another, to begin anew. Peers whose packages are not
installed are left out, with a line that says so; --peer-python smac_search=/path/to/python runs one in an environment
of its own.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from search_report import Run, as_markdown, plot
from search_runs import Limits, Method, Ours, Peer
from search_tasks import SearchTask, lcbench_tasks, read_tasks

from hpo.config import JsonTree
from hpo.spaces.yaml_tree import read_yaml

HERE = Path(__file__).resolve().parent
ASHA: JsonTree = {"kind": "asha", "min_epochs": 6, "eta": 3, "controls": 0}
OURS: dict[str, JsonTree] = {
    "hpo: auto": {},
    "hpo: TPE + asha from 6": {"sampler": {"kind": "tpe"}, "scheduler": ASHA},
    "hpo: random + asha from 6": {"sampler": {"kind": "random"}, "scheduler": ASHA},
}
PEERS = {
    "random": ("random_search", ""),
    "Optuna TPE": ("optuna_search", "tpe"),
    "Optuna TPE + Hyperband": ("optuna_search", "hyperband"),
    "Optuna TPE + halving": ("optuna_search", "halving"),
    "Optuna GP": ("optuna_search", "gp"),
    "Ray ASHA + OptunaSearch": ("ray_search", "optuna"),
    "Ray ASHA + random": ("ray_search", "random"),
    "Syne Tune ASHA": ("syne_search", "asha"),
    "Syne Tune ASHA + CQR": ("syne_search", "cqr"),
    "Syne Tune ASHA + BORE": ("syne_search", "bore"),
    "SMAC3 multi-fidelity": ("smac_search", "multi-fidelity"),
    "DEHB": ("dehb_search", ""),
}
"""Program and variant."""
BUDGETS = (250, 500, 1000)
NUM_WORKERS = 4
NUM_SEEDS = 8


def main() -> None:
    args = parse()
    tasks = lcbench_tasks(*args.lcbench) if args.lcbench else read_tasks(args.tasks)
    if args.quick:
        tasks, args.seeds = tasks[::6], 2
    methods = chosen_methods(args)
    limits = Limits(num_epochs=max(args.budgets), num_workers=args.workers)
    run_all(methods, tasks, limits, args.seeds, args.jobs, args.runs)
    runs = read_runs(args.runs, methods, tasks, args.seeds)
    table = as_markdown(runs, args.budgets)
    print(table)
    picture = args.out.with_suffix(".png")
    notes = NOTES.format(
        table=table, num_tasks=len(tasks), num_seeds=args.seeds, num_workers=args.workers, plot=picture.name
    )
    args.out.write_text(notes, encoding="utf-8")
    plot(runs, limits.num_epochs, picture)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--lcbench", nargs=2, type=Path, metavar=("SURROGATE", "REFERENCE"))
    source.add_argument("--tasks", type=Path, help="a JSON list; see SearchTask")
    parser.add_argument("--methods", nargs="+", help=f"of: {', '.join([*OURS, *PEERS])}, and those of --ours; else all")
    parser.add_argument("--ours", nargs="+", default=[], metavar="NAME=YAML", help="sampler and scheduler sections")
    parser.add_argument("--peer-python", nargs="+", default=[], metavar="PROGRAM=PYTHON")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS)
    parser.add_argument("--budgets", nargs="+", type=int, default=BUDGETS)
    parser.add_argument("--workers", type=int, default=NUM_WORKERS)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each in a process")
    parser.add_argument("--quick", action="store_true", help="every sixth task, two seeds, whatever --seeds says")
    parser.add_argument("--runs", type=Path, default=Path("search_runs.jsonl"))
    parser.add_argument("--out", type=Path, default=HERE / "search.md")
    return parser.parse_args()


def chosen_methods(args: argparse.Namespace) -> dict[str, Method]:
    """Those that were asked for and can run here."""
    pythons = dict(entry.split("=", 1) for entry in args.peer_python)
    written = {name: read_yaml(text).value for name, _, text in (entry.partition("=") for entry in args.ours)}
    ours: dict[str, Method] = {name: Ours(sections=sections) for name, sections in (OURS | written).items()}
    peers = {
        name: Peer(
            program=HERE / "search_peers" / f"{program}.py",
            variant=variant,
            python=pythons.get(program, sys.executable),
        )
        for name, (program, variant) in PEERS.items()
    }
    names = args.methods or [*ours, *peers]
    unknown = [name for name in names if name not in ours | peers]
    if unknown:
        sys.exit(f"--methods: must be of {', '.join([*ours, *peers])}, but got {', '.join(unknown)}.")
    reasons = {name: peers[name].missing() for name in names if name in peers}
    for name, reason in reasons.items():
        if reason:
            print(f"left out: {name}: {reason}", file=sys.stderr)
    return {name: (ours | peers)[name] for name in names if not reasons.get(name)}


def run_all(
    methods: dict[str, Method], tasks: Sequence[SearchTask], limits: Limits, num_seeds: int, num_jobs: int, path: Path
) -> None:
    """Run what is not in the file yet, and add it as it comes."""
    known = {key_of(line) for line in read_lines(path)}
    left = [
        (name, task, seed)
        for seed in range(num_seeds)
        for task in tasks
        for name in methods
        if (name, task.name, seed, limits.num_epochs, limits.num_workers) not in known
    ]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(num_jobs) as pool, path.open("a", encoding="utf-8") as file:
        running = {pool.submit(run, name, methods[name], task, limits, seed): name for name, task, seed in left}
        for number, done in enumerate(as_completed(running), start=1):
            line = done.result()
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(f"{number}/{len(left)} {line['method']}, {line['task']}: {line['seconds']:.0f} s", file=sys.stderr)


def run(name: str, method: Method, task: SearchTask, limits: Limits, seed: int) -> JsonTree:
    started = time.monotonic()
    trace = method.run(task, limits, seed)
    return {
        "method": name,
        "task": task.name,
        "seed": seed,
        "num_epochs": limits.num_epochs,
        "num_workers": limits.num_workers,
        "seconds": time.monotonic() - started,
        "trace": trace,
    }


def read_runs(path: Path, methods: Iterable[str], tasks: Sequence[SearchTask], num_seeds: int) -> list[Run]:
    by_name = {task.name: task for task in tasks}
    return [
        Run(
            method=line["method"],
            task=line["task"],
            seed=line["seed"],
            regrets=[(spent, by_name[line["task"]].regret(value)) for spent, value in line["trace"]],
        )
        for line in read_lines(path)
        if line["method"] in methods and line["task"] in by_name and line["seed"] < num_seeds
    ]


def key_of(line: JsonTree) -> tuple[object, ...]:
    return tuple(line[name] for name in ("method", "task", "seed", "num_epochs", "num_workers"))


def read_lines(path: Path) -> list[JsonTree]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


NOTES = """\
# Ways to search

{num_tasks} tasks, {num_seeds} seeds, {num_workers} workers in virtual time, an epoch a unit. A search's value is the
best validation accuracy that any trial has shown at any epoch so far. Regret is normalised: 0 is the best that a long
search has found, 1 a typical random draw after all epochs. In brackets: 95 % bootstrap intervals over the seeds of each
task. Ranks are among the methods of this table, by task and seed. A worker that waits spends budget too.

{table}

![Regret and rank over budget]({plot})
"""

if __name__ == "__main__":
    main()
