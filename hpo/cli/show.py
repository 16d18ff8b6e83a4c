"""Results on a terminal, or as JSON for other programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hpo.cli.live import best_so_far
from hpo.export import Predictions
from hpo.paths import SweepPaths, written_beside
from hpo.plan import Plan
from hpo.records import TrialRecord
from hpo.results.table import as_text, leaderboard, to_json
from hpo.run import SweepResult
from hpo.spaces.domain import Domain, shown
from hpo.sweep import Sweep
from hpo.training.data import Splits
from hpo.training.recipe import flatten

NUM_SHOWN = 10
"""Predictions that a terminal shows."""


def plan(sweep: Sweep, splits: Splits, planned: Plan, *, as_json: bool) -> None:
    """A valid sweep: what is searched, and what it will cost."""
    space = {path: domain.model_dump(mode="json") for path, domain in sweep.space.items()}
    if as_json:
        _print_json({
            "name": sweep.name,
            "space": space,
            "rungs": dict(zip(map(str, planned.rungs), planned.trials_per_rung, strict=True)),
            "num_epochs": planned.num_epochs,
            "training_s": planned.training_s,
            "disk_bytes": planned.disk_bytes,
            "num_train": len(splits.train),
            "num_validation": len(splits.validation),
            "num_test": len(splits.test) if splits.test is not None else 0,
        })
        return
    console = Console()
    console.print(f"{sweep.name}: valid", style="bold green")
    table = Table("searched", "domain", "base value", box=None, header_style="dim")
    base = flatten(sweep.recipe.as_tree())
    for path, domain in sweep.space.items():
        table.add_row(path, _short(domain), shown(base.get(path, "")))
    console.print(table)
    num_test = len(splits.test) if splits.test is not None else 0
    console.print(f"data      {len(splits.train)} to train on, {len(splits.validation)} to measure by, {num_test} kept back")
    rungs = ", ".join(f"{num} to epoch {rung}" for rung, num in zip(planned.rungs, planned.trials_per_rung, strict=True))
    console.print(f"rungs     {rungs}")
    console.print(f"training  {planned.num_epochs:.0f} epochs, about {planned.training_s:.0f} s on one core of this machine")
    console.print(f"disk      about {planned.disk_bytes / 1e6:.0f} MB of checkpoints under {sweep.storage.checkpoints}")


def result(sweep: Sweep, done: SweepResult, *, as_json: bool) -> None:
    """A sweep that has ended."""
    if as_json:
        _print_json({
            "id": done.paths.sweep_id,
            "status": done.status.value,
            "ends": {kind.value: num for kind, num in done.ends.items()},
            "num_epochs": done.num_epochs,
            "elapsed_s": round(done.elapsed_s, 3),
            "best": None if done.best is None else _as_row(done.best),
            "bundle": None if done.bundle is None else str(done.bundle),
            "untracked": done.untracked,
        })
        return
    console = Console()
    ends = ", ".join(f"{num} {kind}" for kind, num in done.ends.items())
    console.print(f"\n{done.paths.sweep_id}: {done.status} after {done.elapsed_s:.1f} s; trials: {ends}", highlight=False)
    if done.best is not None:
        console.print(f"best      {best_so_far(sweep, done.best)}", highlight=False)
        for path, value in done.best.params.items():
            console.print(f"          {path} = {shown(value)}", highlight=False)
    if done.bundle is not None:
        console.print(f"model     {done.bundle}", highlight=False, soft_wrap=True)
    if done.untracked is not None:
        console.print(f"MLflow    {done.untracked}", style="red", soft_wrap=True)
    elif sweep.tracking is not None:
        console.print(f"MLflow    {sweep.tracking.uri}: hpo ui {done.paths.sweep_id}", highlight=False, soft_wrap=True)
    console.print(f"table     hpo trials {done.paths.sweep_id}", highlight=False)


def trials(
    records: list[TrialRecord], sweep: Sweep, paths: SweepPaths, *, top: int | None, as_json: bool, as_csv: bool
) -> None:
    """The leaderboard, or its head."""
    goal = sweep.metric.goal
    if as_json:
        _print_json(to_json(records, goal)[:top])
        return
    rows = leaderboard(records, goal)[:top]
    if as_csv:
        print(rows.to_csv(index=False), end="")
    else:
        shown_table = Table(title=f"{paths.sweep_id}: {sweep.metric.name}", box=None, header_style="dim")
        for name in rows.columns:
            shown_table.add_column(str(name), justify="left" if rows[name].dtype == "string" else "right")
        for row in as_text(rows):
            shown_table.add_row(*row)
        console = Console()
        console.print(shown_table, soft_wrap=not console.is_terminal)


def winner(trial: TrialRecord, sweep: Sweep, paths: SweepPaths, *, as_json: bool) -> None:
    """The best trial: its value, params and last metrics."""
    if as_json:
        _print_json(_as_row(trial))
        return
    console = Console(highlight=False)
    console.print(f"{paths.sweep_id}/{trial.trial_id}: {best_so_far(sweep, trial)}", style="bold")
    for path, value in trial.params.items():
        console.print(f"  {path} = {shown(value)}")
    if trial.end is not None:
        for name, number in trial.end.metrics.items():
            console.print(f"  {name} {number:.6g}", style="dim")


def predictions(predicted: Predictions, out: Path | None, *, as_json: bool) -> None:
    """The likeliest classes, and how good they are where labels are known."""
    if out is not None:
        with written_beside(out) as beside, beside.open("wb") as file:
            np.savez_compressed(file, log_probs=predicted.log_probs)
    measured = {} if predicted.labels is None else {"accuracy": predicted.accuracy, "nll": predicted.nll}
    if as_json:
        _print_json({"classes": predicted.classes.tolist(), **measured})
        return
    console = Console(highlight=False)
    shares = zip(predicted.classes[:NUM_SHOWN], predicted.probabilities[:NUM_SHOWN], strict=True)
    for number, (label, probability) in enumerate(shares):
        console.print(f"example {number}: class {label} ({probability:.1%})")
    if len(predicted.classes) > NUM_SHOWN:
        console.print(f"... {len(predicted.classes)} in all; --json prints every one", style="dim")
    for name, value in measured.items():
        console.print(f"{name} {value:.6f}")


def _as_row(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.trial_id,
        "epoch": max(trial.values),
        "value": trial.values[max(trial.values)],
        "end": None if trial.end is None else trial.end.kind.value,
        "params": dict(trial.params),
        "metrics": {} if trial.end is None else dict(trial.end.metrics),
        "checkpoint": trial.checkpoint,
    }


def _short(domain: Domain) -> str:
    """A domain as sweep files write it."""
    fields = domain.model_dump()
    kind, values = fields.pop("distribution"), fields.pop("values", None)
    return f"{kind}({', '.join(map(shown, values or fields.values()))})"


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))
