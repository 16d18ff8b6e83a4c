"""Results on a terminal, or as JSON for other programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hpo.cli.conduct import written_to
from hpo.cli.finalists import chosen_line
from hpo.cli.live import best_so_far
from hpo.cli.rungs import rung_text
from hpo.cli.text import clock, domain_text, grid, make_console, number, objective, print_json
from hpo.cli.trial import params_table, trial_json
from hpo.config import JsonTree
from hpo.export import Card, Predictions
from hpo.folders.cleaning import Freed
from hpo.harvest.assembly import Assembly
from hpo.harvest.prune import Point
from hpo.outcome import SweepResult, numbers_of
from hpo.plan import Plan
from hpo.results.table import to_json
from hpo.room import room_advice
from hpo.sizes import size_text
from hpo.spaces.coordinates import to_effective
from hpo.spaces.values import shown
from hpo.sweep import AnySweep, OwnSweep, Sweep
from hpo.sweep.advice import advice
from hpo.sweep.wording import listed
from hpo.tracking.tracker import SweepStatus
from hpo.training.data import Splits
from hpo.training.lr_range import LrCurve
from hpo.training.recipe import flatten
from hpo.uris import masked

NUM_PREDICTIONS = 10
"""Shown on a terminal."""


def plan(sweep: Sweep, splits: Splits, planned: Plan, reasons: Sequence[str], *, as_json: bool) -> None:
    """A valid sweep: what is searched, and what it will cost."""
    num_test = len(splits.test) if splits.test is not None else 0
    if as_json:
        print_json(
            {
                "name": sweep.name,
                "space": {path: domain.as_tree() for path, domain in sweep.space.items()},
                "constraints": list(sweep.constraints),
                "rungs": planned.rungs,
                "brackets": [dict(zip(bracket.rungs, bracket.num_trials, strict=True)) for bracket in planned.brackets],
                "num_children": planned.num_children,
                "num_epochs": planned.num_epochs,
                "training_s": planned.training_s,
                "disk_bytes": planned.disk.in_all_bytes,
                "least_disk_bytes": planned.disk.at_once_bytes,
                "num_train": len(splits.train),
                "num_validation": len(splits.validation),
                "num_test": num_test,
                "sampler": sweep.chosen.sampler.as_tree(),
                "scheduler": sweep.chosen.scheduler.as_tree(),
                "why": list(reasons),
                "advice": [*advice(sweep), *room_advice(sweep.storage, planned.disk)],
            }
        )
        return
    console = make_console()
    console.print(f"{sweep.name} is valid", style="bold green")
    base = flatten(sweep.recipe.as_tree())
    base |= {path: number(value) for path, value in to_effective(base, len(splits.train)).items()}
    space = Table("search", "in", "base value", box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for path, domain in sweep.space.items():
        space.add_row(path, domain_text(domain), shown(base.get(path, "")))
    console.print("", space, *(f"where {constraint}" for constraint in sweep.constraints), "", sep="\n")
    cost = grid()
    cost.add_row("sampler", sweep.chosen.sampler.kind)
    cost.add_row("scheduler", sweep.chosen.scheduler.kind)
    cost.add_row("data", f"{len(splits.train)} train, {len(splits.validation)} validate, {num_test} kept back")
    for place, bracket in enumerate(planned.brackets, start=1):
        rungs = (f"{num} to epoch {rung}" for rung, num in zip(bracket.rungs, bracket.num_trials, strict=True))
        cost.add_row("trials" if len(planned.brackets) == 1 else f"bracket {place}", ", ".join(rungs))
    if planned.num_children > 0:
        cost.add_row("children", f"about {planned.num_children}, each in the place of a trial that gives way")
    cost.add_row("time", f"{planned.num_epochs:.0f} epochs, about {clock(planned.training_s)} on one core like this")
    cost.add_row("disk", f"about {size_text(planned.disk.in_all_bytes)} of states under {sweep.storage.checkpoints}")
    console.print(cost, *reasons, sep="\n", soft_wrap=True)
    advise(sweep, console, list(room_advice(sweep.storage, planned.disk)))


def advise(sweep: AnySweep, console: Console, more: Sequence[str] = ()) -> None:
    """What had better be changed, a line each; nothing where all is well."""
    for text in [*advice(sweep), *more]:
        console.print(f"advice: {text}", style="yellow", soft_wrap=True)


def lr_curve(curve: LrCurve, folder: Path, *, as_json: bool) -> None:
    """A learning-rate range test, written to `folder`."""
    suggestion = curve.suggest()
    low, high = suggestion.bounds()
    if as_json:
        print_json(
            {
                "steepest": suggestion.steepest,
                "largest_stable": suggestion.largest_stable,
                "tenth_of_largest": suggestion.tenth_of_largest,
                "bounds": [low, high],
                "num_steps": len(curve.rates),
                "folder": str(folder),
            }
        )
        return
    rows = grid()
    steepest, stable, tenth = map(number, (suggestion.steepest, suggestion.largest_stable, suggestion.tenth_of_largest))
    rows.add_row("steepest fall", f"at a rate of {steepest}")
    rows.add_row("largest stable", f"{stable}; a tenth of it is {tenth}")
    rows.add_row("to search", f"optimizer.lr: loguniform({low:.2g}, {high:.2g})")
    rows.add_row("curve", f"{len(curve.rates)} steps, up to a rate of {number(curve.rates[-1])}, in {folder}")
    make_console().print(rows)


def result(sweep: AnySweep, done: SweepResult, *, as_json: bool) -> None:
    """A sweep that has ended."""
    if as_json:
        print_json(_result_json(sweep, done))
        return
    sweep_id, console = done.paths.sweep_id, make_console()
    num_waiting = sum(trial.end is None for trial in done.trials)
    counts = [*done.ends.items(), *([("waiting", num_waiting)] if num_waiting else [])]
    ends = ", ".join(f"{num} {kind}" for kind, num in counts) or "none began"
    console.print(f"{sweep_id} {done.status} after {clock(done.elapsed_s)}; trials: {ends}", style="bold")
    rows = grid()
    if done.status is SweepStatus.PAUSED:
        rows.add_row("go on", f"hpo resume {sweep_id}; nothing is lost. To end it: hpo cancel {sweep_id}")
    for reason in done.why:
        rows.add_row("chosen", reason)
    if sweep.lr_range is not None:
        proposed = domain_text(done.space["optimizer.lr"])
        rows.add_row("space", f"optimizer.lr: {proposed}, by the range test in {done.paths.lr_range}")
    if done.best is not None:
        rows.add_row("best", best_so_far(sweep, done.best))
        rows.add_row("params", params_table(done.best.params))
        rows.add_row("trials", f"hpo trials {sweep_id}")
        if not isinstance(sweep, OwnSweep):
            rows.add_row("lanes", f"{done.mean_lanes:.1f} trials side by side, on average")
    if done.front:
        rows.add_row("front", f"{len(done.front)} trials, by {listed(list(sweep.goals))}: hpo best {sweep_id}")
    for place, rung in enumerate(done.rungs):
        rows.add_row("rungs" if place == 0 else "", rung_text(rung))
    if done.finalists:
        rows.add_row("finalists", f"{chosen_line(done.finalists)}: hpo best {sweep_id}")
    for label, text in _left(sweep, done):
        rows.add_row(label, text)
    if done.untracked is not None:
        rows.add_row("MLflow", done.untracked, style="red")
    elif sweep.tracking is not None:
        is_served = sweep.tracking.uri.startswith(("http://", "https://"))
        rows.add_row("MLflow", masked(sweep.tracking.uri) if is_served else f"hpo ui {sweep_id}")
    console.print(rows)


def _left(sweep: AnySweep, done: SweepResult) -> Iterator[tuple[str, str]]:
    """What leaves a sweep: networks or, of training that is not ours, the state of the best trial."""
    if done.ensemble is not None:
        yield "ensemble", _ensemble_line(done.ensemble)
    if done.bundle is not None:
        yield "model", str(done.bundle)
    if isinstance(sweep, OwnSweep) and done.best is not None and done.best.checkpoint is not None:
        yield "state", masked(done.best.checkpoint)


def _result_json(sweep: AnySweep, done: SweepResult) -> JsonTree:
    return {
        "id": done.paths.sweep_id,
        "status": done.status.value,
        "ends": {kind.value: num for kind, num in done.ends.items()},
        "rungs": [asdict(rung) for rung in done.rungs],
        "why": list(done.why),
        "num_epochs": done.num_epochs,
        "mean_lanes": round(done.mean_lanes, 2),
        "elapsed_s": round(done.elapsed_s, 3),
        "best": None if done.best is None else trial_json(to_json([done.best], sweep.goals)[0], done.best),
        "front": [on_front.trial_id for on_front in done.front],
        "finalists": [asdict(each) for each in done.finalists],
        "ensemble": None if done.ensemble is None else numbers_of(done.ensemble),
        "bundle": None if done.bundle is None else str(done.bundle),
        "untracked": done.untracked,
    }


def _ensemble_line(ensemble: Assembly) -> str:
    held_out, single = objective(ensemble.fit.held_out.nll), objective(ensemble.single_held_out.nll)
    num = len(ensemble.members)
    return f"{num} network{'s' if num > 1 else ''}, NLL {held_out} held out, where the best single has {single}"


def exported(folder: Path, card: Card) -> None:
    """A bundle that was written, and how many norms were folded where that was asked for."""
    said = card.model_extra or {}
    if "ensemble" in said:
        trials = dict.fromkeys(str(member["trial_id"]) for member in said["members"])
        print(f"{folder}: the {said['ensemble']['kind']} ensemble of trials {listed(list(trials))}")
        return
    weights = ", with averaged weights" if said["weights"] == "averaged" else ""
    print(f"{folder}: the model of trial {said['trial']}{weights}")
    inference = said.get("inference", {})
    if inference.get("fold_norms"):
        print(f"folded {inference['num_folded_norms']} of {inference['num_norms']} batch norms")


def predictions(predicted: Predictions, out: Path | None, *, as_json: bool) -> None:
    """The likeliest classes, and how good they are where labels are known."""
    if out is not None:
        with written_to(out) as beside, beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, log_probs=predicted.log_probs, **predicted.doubts)
    measured = {} if predicted.labels is None else {"accuracy": predicted.accuracy, "nll": predicted.nll}
    if as_json:
        doubts = {name: values.tolist() for name, values in predicted.doubts.items()}
        print_json({"classes": predicted.classes.tolist(), **doubts, **measured})
        return
    console = make_console()
    table = Table("example", "class", "probability", box=None, header_style="dim", pad_edge=False)
    likeliest = zip(predicted.classes, predicted.probabilities, strict=True)
    for place, (label, probability) in zip(range(NUM_PREDICTIONS), likeliest, strict=False):
        table.add_row(str(place), str(label), f"{probability:.1%}")
    console.print(table)
    if len(predicted.classes) > NUM_PREDICTIONS:
        console.print(f"... {len(predicted.classes)} in all; --json and --out give every one", style="dim")
    for name, value in measured.items():
        console.print(f"{name} {value:.6f}")
    if out is not None:
        console.print(f"log-probabilities: {out}")


def freed(done: Freed, *, as_json: bool) -> None:
    """What has gone of a sweep's folder."""
    if as_json:
        print_json(asdict(done))
        return
    print(
        f"freed {size_text(done.num_bytes)}: {done.num_states} states of trials that ended, {done.num_strays} files "
        f"that belong to none, and Ray Tune's bookkeeping; {size_text(done.left_bytes)} of states are left"
    )


def curve(points: Sequence[Point], *, as_json: bool) -> None:
    """What pruning cost, by amount."""
    if as_json:
        print_json([asdict(point) for point in points])
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("pruned", "val_accuracy", "val_loss", "non-zero", "parameters", "bytes", "bundle"):
        table.add_column(name, justify="left" if name == "bundle" else "right", overflow="fold")
    for point in points:
        measured = (objective(point.val_accuracy), objective(point.val_loss))
        sizes = (point.num_nonzero, point.num_parameters, point.num_bytes)
        table.add_row(f"{point.amount:.4g}", *measured, *(f"{size:,}" for size in sizes), point.bundle)
    make_console().print(table)
