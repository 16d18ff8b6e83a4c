"""What a sweep may spend."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from hpo.config import Config
from hpo.records import Goal


class Budget(Config):
    """The first limit reached ends the sweep; trials that are training then are finished to their next rung."""

    trials: Annotated[int, Field(ge=1)] = 64
    """Recipes to try; with scheduler.kind pbt its population."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs over all trials; none: no limit."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Wall time from the start of the sweep; none: no limit."""
    target: float | None = None
    """A value of the metric that is good enough; none: search on."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a sweep has spent so far."""

    epochs: int
    minutes: float
    best: float | None
    """The best objective that any trial has completed with."""


def exhausted(budget: Budget, spent: Spent, goal: Goal) -> str | None:
    """Which limit ends the sweep before all trials are through, in words; none while it may go on."""
    if budget.epochs is not None and spent.epochs >= budget.epochs:
        return f"budget.epochs: {budget.epochs} reached"
    if budget.minutes is not None and spent.minutes >= budget.minutes:
        return f"budget.minutes: {budget.minutes:g} reached"
    if budget.target is not None and spent.best is not None and not goal.is_better(budget.target, spent.best):
        return f"budget.target: {budget.target:g} reached"
    return None
