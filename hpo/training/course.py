"""What the validation losses of a trial decide about the rest of its training, and about its end."""

import math
from collections.abc import Callable
from dataclasses import replace

from hpo.records import Report
from hpo.training.recipe import Recipe
from hpo.training.schedules import Cyclic, Fge, Plateau, WarmRestarts
from hpo.training.state import RAW, Best, Course, Snapshot, Tensors, TrialState

OF_THE_WAY = ("lr", "seconds", "samples_per_second", "lanes", "micro_batch")
"""Metrics that speak of how an epoch was trained, not of the weights that came out."""


def follow(recipe: Recipe, course: Course, report: Report, state: Callable[[], TrialState]) -> Course:
    """The course of a trial after one more epoch.

    Args:
        recipe: of the trial.
        course: before the epoch.
        report: of the epoch, whose loss is finite.
        state: after the epoch; it may be a view.
    """
    loss = report.metrics["val_loss"]
    if isinstance(recipe.schedule, Plateau):
        course = replace(course, plateau=recipe.schedule.after(course.plateau, loss))
    least = course.best.metrics["val_loss"] if course.best is not None else math.inf
    if recipe.early_stopping.patience > 0 and recipe.early_stopping.is_best(loss, least):
        course = replace(course, best=_best(report, state()))
    if report.epoch in snapshot_epochs(recipe):
        course = replace(course, snapshots=(*course.snapshots, _snapshot(state())))
    return course


def snapshot_epochs(recipe: Recipe) -> list[int]:
    """After which a trial leaves a snapshot: where a cycle of its schedule ends, but for the end of its training."""
    if recipe.snapshots == "all" and isinstance(recipe.schedule, Cyclic | Fge | WarmRestarts):
        return [epoch for epoch in recipe.schedule.cycle_ends(recipe.epochs) if epoch < recipe.epochs]
    return []


def concluded(recipe: Recipe, course: Course, report: Report) -> Report:
    """`report`, which speaks of the best epoch instead where early stopping ends a trial that has not diverged."""
    best = course.best
    if best is None or report.is_last or report.epoch < min(recipe.epochs, best.epoch + recipe.early_stopping.patience):
        return report
    of_the_way = {name: value for name, value in report.metrics.items() if name in OF_THE_WAY}
    return replace(report, metrics={**of_the_way, **best.metrics}, best_epoch=best.epoch)


def best_state(best: Best, snapshots: tuple[Snapshot, ...]) -> TrialState:
    """The state that a trial goes back to, with its snapshots; it trains no more, and so has no optimizer."""
    return TrialState(
        epoch=best.epoch,
        module=best.module,
        optimizer={},
        averaged=best.averaged,
        log_probs=best.log_probs,
        course=Course(snapshots=snapshots),
    )


def _best(report: Report, state: TrialState) -> Best:
    metrics = {name: value for name, value in report.metrics.items() if name not in OF_THE_WAY}
    return Best(
        epoch=report.epoch,
        metrics=metrics,
        module=_copied(state.module),
        averaged=_copied(state.averaged),
        log_probs=_copied(state.log_probs),
    )


def _snapshot(state: TrialState) -> Snapshot:
    return Snapshot(epoch=state.epoch, module=_copied(state.module), log_probs={RAW: state.log_probs[RAW].clone()})


def _copied(tensors: Tensors) -> Tensors:
    return {name: value.clone() for name, value in tensors.items()}
