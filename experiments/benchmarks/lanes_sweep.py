"""Whole sweeps, with every trial alone and with lanes: how much faster they train, and whether they find the same.

    python experiments/benchmarks/lanes_sweep.py

Three tables, printed and written to lanes_sweep.md beside this file:

- speed: trial-epochs per second in training, on one worker, of a sweep of digits with `lanes: 1` and `lanes: auto`;
- outcomes: final validation accuracy of the same recipes with 1 and with 16 lanes, in float32;
- winners: what `hpo run experiments/digits.yaml` finds with `lanes: 1` and with `lanes: auto`, one segment at a time.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from hpo.execution.executor import Executor, NextSegment, OnReport, OnSegmentEnd
from hpo.paths import SweepPaths
from hpo.records import Failure, Report, Segment, TrialSpec
from hpo.run import run_sweep, start_local
from hpo.sweep import load_sweep
from hpo.training.choice import LaneChoice
from hpo.training.data import Digits
from hpo.training.examples import as_tensors
from hpo.training.loop import train
from hpo.training.models import Cnn, Mlp, Model
from hpo.training.optimizers import Sgd
from hpo.training.recipe import Recipe

HERE = Path(__file__).resolve().parent
SPEED = """
name: speed
data: {{kind: digits}}
model: {{kind: mlp, hidden: [{width}]}}
batch_size: 32
epochs: 27
metric: {{name: val_accuracy, goal: maximize}}
space:
  optimizer.lr: loguniform(1e-3, 1)
  optimizer.momentum: uniform(0, 0.95)
  optimizer.weight_decay: loguniform(1e-6, 1e-2)
  model.dropout: uniform(0.05, 0.5)
scheduler: {{kind: asha, min_epochs: 1, eta: 3, controls: 0}}
budget: {{trials: {num_trials}}}
resources: {{lanes: {lanes}, max_concurrent: 1}}
storage: {{checkpoints: {folder}}}
export: {{formats: []}}
tracking: none
"""
MODELS: Mapping[str, Model] = {
    "MLP 64-128-10": Mlp(hidden=(128,)),
    "MLP 64-128-10 with batch norm": Mlp(hidden=(128,), norm="batch"),
    "CNN with batch norm": Cnn(channels=(8, 16), hidden=64),
}
WIDTHS = (64, 128)
"""Of the hidden layer, in the sweeps whose speed is compared."""
NUM_EPOCHS = 5
"""That recipes are trained for to compare outcomes."""
Rows = list[list[str]]


@dataclass
class Recorded:
    """An executor that keeps what is reported."""

    executor: Executor
    reports: list[Report] = field(default_factory=list)
    num_slots: int = 1

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor`."""

        def keep(report: Report) -> None:
            self.reports.append(report)
            on_report(report)

        self.executor.run(next_segment, keep, on_segment_end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="of the sweeps whose speed is measured")
    parser.add_argument("--out", type=Path, default=HERE / "lanes_sweep.md")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # for what runs in processes of its own
    tables = {
        "Speed": compare_speed(args.trials, args.repeats),
        "Outcomes": compare_outcomes(args.trials),
        "Winners": compare_winners(args.trials),
    }
    for title, rows in tables.items():
        Console().print(as_table(title, rows))
    text = "\n".join(f"## {title}\n\n{as_markdown(rows)}\n" for title, rows in tables.items())
    args.out.write_text(NOTES.format(tables=text, num_trials=args.trials, num_epochs=NUM_EPOCHS), encoding="utf-8")


def compare_speed(num_trials: int, num_repeats: int) -> Rows:
    """Sweeps with and without lanes take turns; the median counts."""
    rows = [["net", "lanes", "trial-epochs per s in training", "of all repeats", "times lanes: 1"]]
    for width in WIDTHS:
        rates: dict[str, list[float]] = {"1": [], "auto": []}
        for _ in range(num_repeats):
            for lanes, found in rates.items():
                found.append(rate_in_training(lanes, width, num_trials))
        solo = statistics.median(rates["1"])
        for lanes, found in rates.items():
            rate, repeats = statistics.median(found), ", ".join(f"{one:.0f}" for one in found)
            rows.append([f"MLP 64-{width}-10", lanes, f"{rate:.0f}", repeats, f"{rate / solo:.2f}"])
    return rows


def rate_in_training(lanes: str, width: int, num_trials: int) -> float:
    """Reports, over the seconds in which a single worker trained and validated for them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speed.yaml"
        file.write_text(SPEED.format(num_trials=num_trials, lanes=lanes, width=width, folder=folder), encoding="utf-8")
        recorded: list[Recorded] = []

        def start(*arguments: object) -> Executor:
            recorded.append(Recorded(start_local(*arguments)))
            return recorded[0]

        run_sweep(load_sweep(file), start_executor=start)
    reports = recorded[0].reports
    return len(reports) / sum(report.metrics["seconds"] for report in reports)


def compare_outcomes(num_trials: int) -> Rows:
    """Mean accuracies, and their difference against the standard error of such a mean."""
    rows = [["net", "1 lane", "16 lanes", "difference", "standard error", "in standard errors", "largest of one trial"]]
    for net, model in MODELS.items():
        recipes = draw_recipes(model, num_trials)
        alone, together = (final_accuracies(recipes, lanes) for lanes in (1, 16))
        kept = sorted(alone.keys() & together.keys())
        differences = [together[trial_id] - alone[trial_id] for trial_id in kept]
        error = statistics.stdev(alone[trial_id] for trial_id in kept) / math.sqrt(len(kept))
        mean = statistics.mean(differences)
        rows.append(
            [
                net,
                *(f"{statistics.mean(found[trial_id] for trial_id in kept):.4f}" for found in (alone, together)),
                *(f"{mean:+.5f}", f"{error:.5f}", f"{abs(mean) / error:.3f}"),
                f"{max(map(abs, differences)):.4f}",
            ]
        )
    return rows


def draw_recipes(model: Model, num_trials: int) -> list[Recipe]:
    """As a random search would."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(num_trials, 3, generator=generator, dtype=torch.float64).tolist()
    optimizers = [Sgd(lr=10 ** (-3 + 2.5 * a), momentum=0.95 * b, weight_decay=10 ** (-6 + 4 * c)) for a, b, c in draws]
    return [Recipe(model=model, optimizer=optimizer, batch_size=32, epochs=NUM_EPOCHS) for optimizer in optimizers]


def final_accuracies(recipes: Sequence[Recipe], lanes: int) -> dict[int, float]:
    """By trial, of those that reached the last epoch."""
    splits = Digits().load(seed=0)
    data = as_tensors(splits.train, splits.validation, splits.num_classes, torch.device("cpu"))
    cohort = tuple(TrialSpec(trial_id=n, recipe=recipe.model_dump_json()) for n, recipe in enumerate(recipes))
    segment = Segment(segment_id=0, cohort=cohort, from_epoch=0, to_epoch=NUM_EPOCHS, seed=0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        messages = list(train(segment, data, SweepPaths(Path(folder)), LaneChoice(lanes, data)))
    assert not any(isinstance(message, Failure) for message in messages)
    reports = [message for message in messages if isinstance(message, Report) and message.epoch == NUM_EPOCHS]
    return {report.trial_id: report.metrics["val_accuracy"] for report in reports if report.first_bad_step is None}


def compare_winners(num_trials: int) -> Rows:
    """The best five trials of each."""
    found = {lanes: best_trials(lanes, num_trials) for lanes in ("1", "auto")}
    rows = [["rank", "trial, lanes: 1", "accuracy", "trial, lanes: auto", "accuracy"]]
    for rank, pair in enumerate(zip(*found.values(), strict=True), 1):
        rows.append([str(rank), *(cell for trial_id, value in pair for cell in (str(trial_id), f"{value:.4f}"))])
    return rows


def best_trials(lanes: str, num_trials: int) -> list[tuple[int, float]]:
    """Of `hpo run experiments/digits.yaml`, with the value of each."""
    hpo = str(Path(sys.executable).with_name("hpo"))
    settings = (
        f"resources.lanes={lanes}",
        "resources.max_concurrent=1",
        "tracking=none",
        f"budget.trials={num_trials}",
    )
    flags = [flag for setting in settings for flag in ("-s", setting)]
    with tempfile.TemporaryDirectory() as folder:

        def run(*arguments: str) -> str:
            return subprocess.run([hpo, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout

        sweep_id = json.loads(run("run", str(HERE.parent / "digits.yaml"), *flags, "--json"))["id"]
        trials = json.loads(run("trials", sweep_id, "--top", "5", "--json"))
    return [(trial["trial"], trial["value"]) for trial in trials]


def as_table(title: str, rows: Rows) -> Table:
    table = Table(*rows[0], title=title)
    for cells in rows[1:]:
        table.add_row(*cells)
    return table


def as_markdown(rows: Rows) -> str:
    head, *body = ("| " + " | ".join(cells) + " |" for cells in rows)
    return "\n".join([head, "|---" + "|---:" * (len(rows[0]) - 1) + "|", *body])


NOTES = """\
# Sweeps with and without lanes

{num_trials} trials each, on handwritten digits, on a CPU.

{tables}
**Speed** is that of one worker with one thread: trial-epochs, over the seconds in which it trained and validated them.
Batch size 32, dropout, asynchronous halving at 1, 3, 9 and 27 epochs. **Outcomes** are final accuracies of
the same random recipes after {num_epochs} epochs, nobody stopped; the standard error is that of the mean over trials.
Without a norm, lanes give the same bits; with one, rounding grows within some tens of steps, and only the outcome can
be compared. **Winners** are the best trials of `experiments/digits.yaml`, whose networks have batch norm, at the same
seed: what TPE proposes follows from earlier values, so that sweeps part once one of those has changed.

Again: `python experiments/benchmarks/lanes_sweep.py`
"""

if __name__ == "__main__":
    main()
