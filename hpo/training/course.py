"""What the validation losses of a trial decide about the rest of its training, and about its end."""

import math
from collections.abc import Callable
from dataclasses import replace

from hpo.records import Report
from hpo.training.recipe import Recipe
from hpo.training.schedules import Plateau
from hpo.training.state import Best, Course, Tensors, TrialState

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
    return course


def concluded(recipe: Recipe, course: Course, report: Report) -> Report:
    """`report`, which speaks of the best epoch instead where early stopping ends a trial that has not diverged."""
    best = course.best
    if best is None or report.is_last or report.epoch < min(recipe.epochs, best.epoch + recipe.early_stopping.patience):
        return report
    of_the_way = {name: value for name, value in report.metrics.items() if name in OF_THE_WAY}
    return replace(report, metrics={**of_the_way, **best.metrics}, best_epoch=best.epoch)


def best_state(best: Best) -> TrialState:
    """The state that a trial goes back to; it trains no more, and so has no optimizer."""
    return TrialState(epoch=best.epoch, module=best.module, optimizer={}, averaged=best.averaged)


def _best(report: Report, state: TrialState) -> Best:
    metrics = {name: value for name, value in report.metrics.items() if name not in OF_THE_WAY}
    return Best(epoch=report.epoch, metrics=metrics, module=_copied(state.module), averaged=_copied(state.averaged))


def _copied(tensors: Tensors) -> Tensors:
    return {name: value.clone() for name, value in tensors.items()}
