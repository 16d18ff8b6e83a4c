"""One search, four ways, each in a fresh process: hpo, two forms of a Ray Tune script, and a plain Optuna loop.

    python experiments/peers/compare.py --trials 64 --repeats 3

Wall time counts the whole process, with Python's, Ray's and MLflow's start and end. In each repeat all of them run one
after the other. Prints one table, and writes it to results.md beside this file.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

HERE = Path(__file__).resolve().parent
_SCRIPT = (sys.executable, str(HERE / "ray_tune_script.py"), "--trials", "{num_trials}", "--out", ".")
COMMANDS = {
    "hpo": (
        str(Path(sys.executable).with_name("hpo")),
        *("run", str(HERE / "digits.yaml"), "--json", "-s", "budget.trials={num_trials}"),
    ),
    "Ray Tune script": _SCRIPT,
    "expert's form": (*_SCRIPT, "--reuse-actors", "--no-mlflow"),
    "Optuna loop": (sys.executable, str(HERE / "optuna_loop.py"), "--trials", "{num_trials}"),
}
"""What each way runs, in an empty folder; each prints JSON."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one process came to."""

    wall_s: float
    num_trials: int
    num_epochs: int
    """Trained, over all trials."""
    best: float
    """The highest validation accuracy of any trial after any epoch."""

    @property
    def epochs_per_s(self) -> float:
        """Trial-epochs per second of wall time."""
        return self.num_epochs / self.wall_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results.md")
    args = parser.parse_args()
    outcomes: dict[str, list[Outcome]] = {name: [] for name in COMMANDS}
    rounds = list(COMMANDS) * args.repeats
    for name in track(rounds, "running", console=Console(stderr=True)):
        outcomes[name].append(run(name, args.trials))
    rows = summarize(outcomes)
    Console().print(as_table(rows))
    args.out.write_text(as_markdown(rows, args.trials, args.repeats), encoding="utf-8")


def run(name: str, num_trials: int) -> Outcome:
    """Run it once, in an empty folder.

    Raises:
        RuntimeError: if the process failed; with the end of what it wrote.
    """
    command = [part.format(num_trials=num_trials) for part in COMMANDS[name]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # with more threads, small networks train slower
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        wall_s = time.monotonic() - started
        if done.returncode != 0:
            raise RuntimeError(f"{name}: must end with 0, but ended with {done.returncode}:\n{done.stderr[-3000:]}")
        printed = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])[0]
        return _of_hpo(printed, Path(folder), wall_s) if "id" in printed else _of_peer(printed, wall_s)


def summarize(outcomes: dict[str, list[Outcome]]) -> list[list[str]]:
    """A row for each way, after a row of headings."""
    ours = _median(run.wall_s for run in outcomes["hpo"])
    rows = [["", "wall s, median", "min", "times ours", "trials", "epochs", "epochs per s", "best accuracy"]]
    for name, runs in outcomes.items():
        wall_s = _median(run.wall_s for run in runs)
        rows.append(
            [
                name,
                f"{wall_s:.1f}",
                f"{min(run.wall_s for run in runs):.1f}",
                f"{wall_s / ours:.1f}",
                f"{_median(run.num_trials for run in runs):.0f}",
                f"{_median(run.num_epochs for run in runs):.0f}",
                f"{_median(run.epochs_per_s for run in runs):.1f}",
                f"{_median(run.best for run in runs):.4f}",
            ]
        )
    return rows


def as_table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*rows[0])
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows[1:]:
        table.add_row(*row)
    return table


def as_markdown(rows: Sequence[Sequence[str]], num_trials: int, num_repeats: int) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    line = "|---" + "|---:" * (len(rows[0]) - 1) + "|"
    table = "\n".join([head, line, *body])
    return NOTES.format(table=table, num_trials=num_trials, num_repeats=num_repeats, num_cores=os.cpu_count())


def _of_hpo(printed: dict[str, Any], folder: Path, wall_s: float) -> Outcome:
    with closing(sqlite3.connect(folder / "runs" / printed["id"] / "study.db")) as study:
        [(best,)] = study.execute("SELECT max(intermediate_value) FROM trial_intermediate_values")
    num_trials = sum(printed["ends"].values())
    return Outcome(wall_s=wall_s, num_trials=num_trials, num_epochs=printed["num_epochs"], best=best)


def _of_peer(printed: dict[str, Any], wall_s: float) -> Outcome:
    return Outcome(
        wall_s=wall_s,
        num_trials=printed["trials"],
        num_epochs=printed["epochs_trained"],
        best=printed["best_val_accuracy"],
    )


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


NOTES = """\
# One search, four ways

{num_trials} trials of a small network on handwritten digits: learning rate, momentum, weight decay, dropout, batch
size and initialization, TPE, asynchronous successive halving with rungs 1, 3, 9 and 27. Each way ran {num_repeats}
times, in turn with the others, in a fresh process on {num_cores} busy CPU cores. Wall time is that of the whole
process, with the start and end of Python, Ray and MLflow.

{table}

- **hpo**: `hpo run experiments/peers/digits.yaml`, which logs every trial and epoch to MLflow on SQLite.
- **Ray Tune script**: `ray_tune_script.py`, what a competent user writes: Ray Tune, OptunaSearch, ASHAScheduler,
  MLflowLoggerCallback on SQLite.
- **expert's form**: the same script with worker processes reused and without MLflow.
- **Optuna loop**: `optuna_loop.py`, TPE and SuccessiveHalvingPruner in one process on one core, without Ray or MLflow.

All have the same space, network, epochs, rungs and numbers of examples. They draw different trials, and how many
epochs asynchronous halving trains depends on the order in which trials reach a rung: epochs per second say more about
speed than wall time alone. The accuracy is the highest of any trial after any epoch, on 360 validation examples, so one
example is 0.0028; hpo draws its own split by its seed, so its 360 are others. None exports a model here.

Again: `python experiments/peers/compare.py --trials {num_trials} --repeats {num_repeats}`
"""

if __name__ == "__main__":
    main()
