"""What a sweep's winner is worth on examples that no trial has seen: whole sweeps, over several seeds.

    python experiments/benchmarks/test_accuracy.py experiments/fashion_cnn.yaml experiments/digits_mlp.yaml
    python experiments/benchmarks/test_accuracy.py experiments/fashion_cnn.yaml -s precision=bfloat16

A sweep's minutes are those of all of `run_sweep`: data, Ray's start, search, MLflow and export. Only then is the test
split opened, once, with the exported bundle of the winner, which validation has chosen. Prints one table, and writes it
to test_accuracy.md beside this file.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from hpo.execution.cluster import disconnect
from hpo.export import load_bundle
from hpo.export.predictions import Predictions
from hpo.run import run_sweep
from hpo.sweep import Sweep, load_sweep

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sweep."""

    name: str
    seed: int
    minutes: float
    num_trials: int
    num_epochs: int
    """Over all trials."""
    winner: int
    """Its trial id; those of a sweep's points come first."""
    validation: float
    """Accuracy of the winner, by which it was chosen: too high for that reason."""
    test: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("-s", "--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=HERE / "test_accuracy.md")
    args = parser.parse_args()
    console, rows = Console(), []
    for file in args.files:
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as folder:
                places = [f"storage.checkpoints={folder}/runs", f"tracking.uri=sqlite:///{folder}/mlflow.db"]
                rows.append(measure(load_sweep(file, [*places, *args.set, f"seed={seed}"])))
            console.print(*as_cells(rows[-1]))
            args.out.write_text(as_markdown(rows, args.set), encoding="utf-8")
    console.print(as_table(rows))


def measure(sweep: Sweep) -> Row:
    """Run the sweep, then open the test split.

    Raises:
        RuntimeError: if the sweep exports nothing, or its data have no test split.
    """
    result = run_sweep(sweep)
    disconnect()
    test = sweep.data.load(sweep.seed).test
    if result.best is None or result.bundle is None or test is None:
        raise RuntimeError(f"{sweep.name}: a winner, its bundle and a test split must be there, but one is missing.")
    found = Predictions(log_probs=load_bundle(result.bundle).predict(test.x), labels=test.y)
    assert result.best.end is not None, "a sweep that is over has ended its trials"
    assert found.accuracy is not None, "labels were given"
    return Row(
        name=sweep.name,
        seed=sweep.seed,
        minutes=result.elapsed_s / 60,
        num_trials=sum(result.ends.values()),
        num_epochs=result.num_epochs,
        winner=result.best.trial_id,
        validation=result.best.end.metrics["val_accuracy"],
        test=found.accuracy,
    )


HEADINGS = ("sweep", "seed", "minutes", "trials", "epochs", "winner", "validation", "test")


def as_cells(row: Row) -> tuple[str, ...]:
    counts = (str(row.num_trials), str(row.num_epochs), str(row.winner))
    return (row.name, str(row.seed), f"{row.minutes:.1f}", *counts, f"{row.validation:.4f}", f"{row.test:.4f}")


def as_table(rows: Sequence[Row]) -> Table:
    table = Table(*HEADINGS)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*as_cells(row))
    return table


def as_markdown(rows: Sequence[Row], overrides: Sequence[str]) -> str:
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *map(as_cells, rows)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    summaries = [summary(name, list(group)) for name, group in groupby(rows, key=lambda row: row.name)]
    overridden = f", with `{' '.join(overrides)}`" if overrides else ""
    return NOTES.format(
        table=table,
        summaries="\n".join(summaries),
        overridden=overridden,
        num_cores=os.cpu_count(),
        capability=torch.backends.cpu.get_cpu_capability(),
        torch=torch.__version__,
    )


def summary(name: str, rows: Sequence[Row]) -> str:
    """Over the seeds."""
    accuracies, minutes = [row.test for row in rows], [row.minutes for row in rows]
    return (
        f"- **{name}**: test accuracy {statistics.mean(accuracies):.4f} on average and {min(accuracies):.4f} at least, "
        f"in {statistics.mean(minutes):.1f} minutes on average and {max(minutes):.1f} at most."
    )


NOTES = """\
# Test accuracy of what sweeps find

Whole sweeps on {num_cores} CPU cores ({capability}); torch {torch}{overridden}. The test split was opened once for
each row, with the exported winner.

{table}

{summaries}

Again: `python experiments/benchmarks/test_accuracy.py FILE ...`
"""

if __name__ == "__main__":
    main()
