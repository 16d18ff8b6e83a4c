"""What ensembles of a sweep's trials are worth on examples that no trial has seen, beside what else one might do.

    python experiments/benchmarks/ensembles.py experiments/ensembles_digits.yaml experiments/ensembles_fashion.yaml
    python experiments/benchmarks/ensembles.py experiments/ensembles_digits.yaml --pool-only --seeds 0 1 2 3 4 5 6 7 8 9

For each seed: the sweep of the file, whose trials are the pool; repetitions of its best recipes on fresh luck; and its
best recipe once more with a schedule of warm restarts and with one of full length, at one and at five times a trial's
epochs. Everything is chosen and calibrated on the validation split; only then the test split is opened, once, for all
rows. Prints one table per file, and writes them to ensembles.md beside this file.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hpo.ensembles import measure, pool, tempered
from hpo.ensembles.kinds import AnyEnsemble, Candidate, Deep, Greedy, HyperDeep, Snapshot, Soup, Stack, Top
from hpo.errors import EnsembleError
from hpo.harvest.assembly import Assembly
from hpo.harvest.harvest import Harvest
from hpo.records import EndKind, TrialRecord
from hpo.results.table import find_best
from hpo.run import run_sweep, start_local
from hpo.sweep import load_sweep

HERE = Path(__file__).resolve().parent
SIZE = 5
"""Members of an ensemble, at most; cycles of a snapshot ensemble; and what a long run costs, in trials."""
SEEDS_OF_PICKS = 2
SINGLE = "best single"
COLUMNS = ("members", "extra training", "test accuracy", "test NLL", "ECE", "NLL by seed")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to predict, on one seed."""

    what: str
    num_members: float
    extra: float
    """Training beside the sweep's own, in trials."""
    accuracy: float
    nll: float
    ece: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("-s", "--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--pool-only", action="store_true", help="Train nothing but the sweep.")
    parser.add_argument("--out", type=Path, default=HERE / "ensembles.md")
    args = parser.parse_args()
    console, sections = Console(), []
    for file in args.files:
        by_seed = []
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as folder:
                rows = from_pool if args.pool_only else compare
                by_seed.append(list(rows(file, [*args.set, f"seed={seed}"], Path(folder))))
            console.print(as_table(f"{file.stem}, seed {seed}", summarized([by_seed[-1]])))
        sections.append((file, by_seed))
        args.out.write_text(as_markdown(sections, args.set), encoding="utf-8")
        console.print(as_table(f"{file.stem}, {len(args.seeds)} seeds", summarized(by_seed)))


def compare(file: Path, settings: Sequence[str], folder: Path) -> Iterator[Row]:
    """Every row of one seed."""
    places = [f"storage.checkpoints={folder}", "tracking=none", "export.formats=[]"]
    sweep = f"ensemble={{kind: hyper_deep, size: {SIZE}, seeds: {SEEDS_OF_PICKS}}}"
    again = f"finalists={{count: 1, seeds: {SIZE}}}"
    harvest = run(file, [*settings, *places, sweep, again])
    searched = Harvest(
        harvest.sweep, harvest.paths, harvest.splits, [trial for trial in harvest.trials if trial.repeats is None]
    )
    best = find_best(searched.trials, harvest.sweep.metric.goal)
    assert best is not None
    yield from singles(harvest, best)
    for what, kind, of, extra in (
        ("top 5", Top(size=SIZE), searched, 0.0),
        ("all", Top(size=50), searched, 0.0),
        ("greedy", Greedy(size=SIZE), searched, 0.0),
        ("greedy, gains of a standard error", Greedy(size=SIZE, min_gain=1), searched, 0.0),
        ("stack", Stack(size=SIZE), searched, 0.0),
        ("soup", Soup(size=SIZE), searched, 0.0),
        ("deep", Deep(size=SIZE), harvest, SIZE - 1.0),
        ("hyper-deep", HyperDeep(size=SIZE), harvest, float(num_repeats(harvest, best))),
    ):
        yield from assembled(what, kind, of, extra)
    yield from long_runs(file, [*settings, *places], best)


def from_pool(file: Path, settings: Sequence[str], folder: Path) -> Iterator[Row]:
    """What costs no training beside the sweep, of one seed."""
    places = [f"storage.checkpoints={folder}", "tracking=none", "export.formats=[]", "ensemble=none"]
    harvest = run(file, [*settings, *places])
    best = find_best(harvest.trials, harvest.sweep.metric.goal)
    assert best is not None
    yield single(harvest, best)
    for what, kind in (("top 5", Top(size=SIZE)), ("greedy", Greedy(size=SIZE)), ("stack", Stack(size=SIZE))):
        found = harvest.assemble(kind)
        yield row(what, found.members, found.weights, 1.0, harvest, 0.0)


def run(file: Path, settings: Sequence[str]) -> Harvest:
    """A whole sweep, in this process."""
    sweep = load_sweep(file, settings)
    result = run_sweep(sweep, start_executor=start_local)
    return Harvest(sweep, result.paths, sweep.data.load(sweep.seed), result.trials)


def single(harvest: Harvest, best: TrialRecord) -> Row:
    """The best trial."""
    own = Candidate(trial_id=best.trial_id, epoch=harvest.sweep.epochs)
    return row(SINGLE, [own], [1.0], 1.0, harvest, 0.0)


def singles(harvest: Harvest, best: TrialRecord) -> Iterator[Row]:
    """The best trial; and its recipe on fresh luck, on average."""
    yield single(harvest, best)
    again = [
        row("", [Candidate(trial_id=trial.trial_id, epoch=harvest.sweep.epochs)], [1.0], 1.0, harvest, 0.0)
        for trial in harvest.trials
        if trial.repeats == best.trial_id and trial.end is not None and trial.end.kind is EndKind.COMPLETE
    ]
    yield Row(
        what=f"best single on {SIZE} fresh seeds, on average",
        num_members=1,
        extra=SIZE,
        accuracy=statistics.mean(each.accuracy for each in again),
        nll=statistics.mean(each.nll for each in again),
        ece=statistics.mean(each.ece for each in again),
    )


def num_repeats(harvest: Harvest, best: TrialRecord) -> int:
    """That the hyper-deep ensemble has asked for."""
    asked = {(each.trial_id, each.seed_index) for each in harvest.repeats()}
    finals = {(best.trial_id, seed) for seed in range(SEEDS_OF_PICKS + 1, SIZE + 1)}
    return len(asked - finals)


def assembled(what: str, kind: AnyEnsemble, harvest: Harvest, extra: float) -> Iterator[Row]:
    """An ensemble as it comes, and calibrated; or that there is none."""
    try:
        found: Assembly = harvest.assemble(kind)
    except EnsembleError as error:
        print(f"{what}: {error}")
        return
    is_soup = found.is_soup
    yield row(what, found.members, found.weights, 1.0, harvest, extra, is_soup=is_soup)
    if not isinstance(kind, Stack | Soup | Snapshot):
        yield row(
            f"{what}, calibrated", found.members, found.weights, found.temperature, harvest, extra, is_soup=is_soup
        )


def long_runs(file: Path, settings: Sequence[str], best: TrialRecord) -> Iterator[Row]:
    """The best recipe with warm restarts at one and at five times the epochs, and in one go at five times."""
    point = json.dumps(
        {path: list(value) if isinstance(value, tuple) else value for path, value in best.params.items()}
    )
    epochs = load_sweep(file, settings).epochs
    only = [*settings, f"points=[{point}]", "budget.trials=1", "sampler={kind: random}"]
    for times in (1, SIZE):
        cycles = f"schedule={{kind: warm_restarts, cycles: {SIZE}}}"
        asked = [
            *only,
            cycles,
            "snapshots=all",
            f"epochs={times * epochs}",
            f"ensemble={{kind: snapshot, size: {SIZE}}}",
        ]
        harvest = run(file, asked)
        yield from assembled(f"snapshot, {SIZE} cycles in {times} x the epochs", Snapshot(size=SIZE), harvest, times)
    harvest = run(file, [*only, f"epochs={SIZE * epochs}", "ensemble=none"])
    [long] = harvest.trials
    if long.checkpoint is None:
        print(f"one run of {SIZE} x the epochs: {long.end}")
        return
    own = Candidate(trial_id=0, epoch=SIZE * epochs)
    yield row(f"one run of {SIZE} x the epochs", [own], [1.0], 1.0, harvest, SIZE)


def row(
    what: str,
    members: Sequence[Candidate],
    weights: Sequence[float],
    temperature: float,
    harvest: Harvest,
    extra: float,
    *,
    is_soup: bool = False,
) -> Row:
    """What some networks together predict of the test split."""
    networks, splits = harvest.networks, harvest.splits
    assert splits.test is not None
    modules = [networks.average(members)] if is_soup else [networks.load(member) for member in members]
    x = splits.normalization(splits.test.x)
    log_probs = np.stack([networks.predict(module, x) for module in modules])
    pooled = tempered(pool(log_probs, np.array([1.0] if is_soup else weights)), temperature)
    found = measure(pooled, splits.test.y)
    return Row(
        what=what,
        num_members=len(modules),
        extra=extra,
        accuracy=found.accuracy,
        nll=found.nll,
        ece=found.ece,
    )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A row over all seeds that have it."""

    row: Row
    """Means."""
    nlls: tuple[float, ...]
    num_seeds: int


def summarized(by_seed: Sequence[Sequence[Row]]) -> list[Summary]:
    """Rows of the same name, over the seeds."""
    names = list(dict.fromkeys(row.what for rows in by_seed for row in rows))
    found = {name: [row for rows in by_seed for row in rows if row.what == name] for name in names}
    return [
        Summary(
            row=Row(
                what=name if len(rows) == len(by_seed) else f"{name} ({len(rows)} of {len(by_seed)} seeds)",
                **{
                    key: statistics.mean(getattr(row, key) for row in rows)
                    for key in ("num_members", "extra", "accuracy", "nll", "ece")
                },
            ),
            nlls=tuple(row.nll for row in rows),
            num_seeds=len(rows),
        )
        for name, rows in found.items()
    ]


def as_cells(summary: Summary) -> tuple[str, ...]:
    row = summary.row
    numbers = (f"{row.num_members:.1f}", f"{row.extra:.1f}", f"{row.accuracy:.4f}", f"{row.nll:.4f}", f"{row.ece:.4f}")
    return (row.what, *numbers, " ".join(f"{nll:.3f}" for nll in summary.nlls))


def as_table(title: str, summaries: Sequence[Summary]) -> Table:
    table = Table("", *COLUMNS, title=title)
    for summary in summaries:
        table.add_row(*as_cells(summary))
    return table


def as_markdown(sections: Sequence[tuple[Path, Sequence[Sequence[Row]]]], settings: Sequence[str]) -> str:
    parts = []
    for file, by_seed in sections:
        head = ("", *COLUMNS)
        lines = [head, ("---", *["---:"] * (len(head) - 1)), *map(as_cells, summarized(by_seed))]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"## {file.stem}, {len(by_seed)} seeds\n\n{table}\n\n{told(by_seed)}\n")
    overridden = f" With `{' '.join(settings)}`." if settings else ""
    return NOTES.format(tables="\n".join(parts), overridden=overridden, size=SIZE)


def told(by_seed: Sequence[Sequence[Row]]) -> str:
    """How greedy does beside the best single network, seed by seed."""
    pairs = [[next(row.nll for row in rows if row.what == what) for what in ("greedy", SINGLE)] for rows in by_seed]
    ratios = [greedy / single for greedy, single in pairs]
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
    num_below = sum(greedy < single for greedy, single in pairs)
    return (
        f"Greedy's NLL is {statistics.mean(ratios):.3f} (standard error {error:.3f}) of the best single's, and below "
        f"it on {num_below} of {len(pairs)} seeds."
    )


NOTES = """\
# Ensembles of a sweep's trials

Members are selected and temperatures fitted on the validation split; the test split is opened once, for all rows of a
seed. Means over the seeds; extra training is in trials, beside those of the sweep.{overridden}

{tables}
Again: `python experiments/benchmarks/ensembles.py FILE ...`
"""

if __name__ == "__main__":
    main()
