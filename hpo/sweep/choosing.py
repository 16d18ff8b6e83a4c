"""Which sampler and which scheduler, where the sweep file leaves that open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config
from hpo.scheduling import Asha, Budget, FreezeThaw, NoScheduler, Pbt, Scheduler
from hpo.search.samplers import Curves, Nsga2, Qmc, Sampler, Tpe
from hpo.spaces import Choice, Constant, Domain

MOST_AXES = 40
"""Params, each choice without order counted by its values, over which a Gaussian process still tells near from far."""
MOST_TRIALS = 5000
"""Beyond, trials are many enough for a density model, and proposing with a Gaussian process takes hours."""
LEAST_TRIAL_S = 10.0
"""Of training: to decide on a trial with a Gaussian process takes about half a second."""
FEWEST_TRIALS = 8
"""To learn from: with fewer, a model has hardly begun when the sweep ends."""
FEWEST_GENERATIONS = 5
"""Of which a genetic search has something."""
CYCLES = ("warm_restarts", "cyclic", "fge")
"""Schedules under which losses rise again and again."""


class Auto(Config):
    """Chosen by the space, the budget and how many trials run at once; `hpo check` says what, and why."""

    kind: Literal["auto"] = "auto"


AnySampler = Annotated[Sampler | Auto, Field(discriminator="kind")]
AnyScheduler = Annotated[Scheduler | Auto, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What searches."""

    sampler: Sampler
    scheduler: Scheduler
    why: tuple[str, ...] = ()
    """A sentence for each that was left open."""


def choose(
    sampler: Sampler | Auto,
    scheduler: Scheduler | Auto,
    *,
    space: Mapping[str, Domain],
    budget: Budget,
    epochs: int,
    num_slots: int | None = None,
    trial_s: float | None = None,
    follows_losses: str | None = None,
) -> Chosen:
    """What was written, and for what was left open the best that suits it.

    Args:
        sampler: as written.
        scheduler: as written.
        space: what is searched.
        budget: what may be spent.
        epochs: full length.
        num_slots: segments that run at once; none: not known yet.
        trial_s: how long a trial trains to its end, alone on one core; none: not known yet.
        follows_losses: what makes the course of a trial such that it tells little before its end, if anything does.
    """
    why = []
    if isinstance(sampler, Auto):
        sampler, reason = _sampler(scheduler, space, budget, num_slots, trial_s)
        why.append(f"sampler: {sampler.kind}, because {reason}.")
    if isinstance(scheduler, Auto):
        scheduler, reason = _scheduler(sampler, epochs, follows_losses)
        why.append(f"scheduler: {scheduler.kind}, because {reason}.")
    return Chosen(sampler=sampler, scheduler=scheduler, why=tuple(why))


def choose_for_front(sampler: Sampler | Auto, scheduler: Scheduler | Auto, budget: Budget) -> Chosen:
    """The same where several metrics are searched at once."""
    why = []
    if isinstance(sampler, Auto):
        sampler, reason = _front_sampler(budget)
        why.append(f"sampler: {sampler.kind}, because {reason}.")
    if isinstance(scheduler, Auto):
        scheduler = NoScheduler()
        why.append("scheduler: none, because a trial that is stopped has no place on the front of several metrics.")
    return Chosen(sampler=sampler, scheduler=scheduler, why=tuple(why))


def _sampler(
    scheduler: Scheduler | Auto,
    space: Mapping[str, Domain],
    budget: Budget,
    num_slots: int | None,
    trial_s: float | None,
) -> tuple[Sampler, str]:
    num_axes = sum(map(_num_axes, space.values()))
    fewest = max(FEWEST_TRIALS, 2 * (num_slots or 1))
    if isinstance(scheduler, FreezeThaw):
        return Curves(), "freeze_thaw needs its model of curves"
    if isinstance(scheduler, Pbt):
        return Qmc(), "what children measure is owed to their ancestors too, and would mislead one that learns"
    if budget.trials < fewest:
        return Qmc(), f"of {budget.trials} trials there is hardly anything to learn, so they are spread evenly"
    against = (
        (num_axes > MOST_AXES, f"of {num_axes} axes a Gaussian process would learn too little"),
        (budget.trials > MOST_TRIALS, f"with {budget.trials} trials a Gaussian process would take too long"),
        (
            trial_s is not None and trial_s < LEAST_TRIAL_S,
            f"a trial trains for {trial_s or 0:.2g} s, and a Gaussian process would take as long",
        ),
    )
    for holds, reason in against:
        if holds:
            return Tpe(startup="qmc"), reason
    return Curves(), "it learns from every epoch of every trial, stopped ones too"


def _scheduler(sampler: Sampler, epochs: int, follows_losses: str | None) -> tuple[Scheduler, str]:
    if follows_losses is not None:
        return NoScheduler(), f"{follows_losses}, so that a trial tells little before its end"
    if FreezeThaw().rungs(epochs)[0] >= epochs:
        return NoScheduler(), f"there is no rung before the end of {epochs} epoch{'s' if epochs > 1 else ''}"
    if isinstance(sampler, Curves):
        return FreezeThaw(), "the sampler's model of curves knows whom to train on"
    return Asha(), f"{sampler.kind} has no model of curves, and poor trials need not train to the end"


def _front_sampler(budget: Budget) -> tuple[Sampler, str]:
    nsga2 = Nsga2()
    if budget.trials < FEWEST_GENERATIONS * nsga2.population:
        return Tpe(), f"of {budget.trials} trials there are too few to breed generations of {nsga2.population}"
    return nsga2, "there are several metrics, and trials enough for generations"


def _num_axes(domain: Domain) -> int:
    match domain:
        case Constant():
            return 0
        case Choice(values=values) if not all(isinstance(value, int | float) for value in values):
            return len(values)
        case _:
            return 1
