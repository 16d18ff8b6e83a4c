"""Rules that hold between a scheduler and what it has to schedule."""

from collections.abc import Collection

from hpo.errors import Problem
from hpo.records import ParamValue
from hpo.scheduling import Asha, Hyperband, NoScheduler, Pbt, Scheduler, compares_averages
from hpo.sweep.wording import listed


def rung_problems(scheduler: Scheduler, epochs: int) -> list[Problem]:
    """There must be a rung before the end; for turns, see `population_problems`."""
    if isinstance(scheduler, NoScheduler | Pbt) or scheduler.rungs(epochs)[0] < epochs:
        return []
    remedy = "Raise epochs" if scheduler.min_epochs == "auto" else "Lower it"
    message = (
        f"must be below epochs, which is {epochs}, but got {scheduler.min_epochs}: no trial would ever be stopped. "
        f"{remedy}, or use scheduler: {{kind: none}}."
    )
    return [Problem(key="scheduler.min_epochs", message=message)]


def ladder_problems(scheduler: Scheduler, num_trials: int, epochs: int) -> list[Problem]:
    """There must be rungs enough for all brackets, and trials enough that one is promoted from every rung."""
    rungs = scheduler.rungs(epochs)
    match scheduler:
        case Hyperband(brackets=int(num)) if num > len(rungs):
            message = (
                f"must be at most {len(rungs)}, for each bracket begins at another rung of {_epochs(rungs)}, but got "
                f"{num}. Lower it, or lower scheduler.min_epochs."
            )
            return [Problem(key="scheduler.brackets", message=message)]
        case Asha(form="promotion") if num_trials < (least := scheduler.eta ** (len(rungs) - 1)):
            message = (
                f"must be at least {least} to promote one of {scheduler.eta} at {_epochs(rungs[:-1])}, but got "
                f"{num_trials}: no trial would reach the end. Raise it, raise scheduler.min_epochs, or use form: "
                "stopping."
            )
            return [Problem(key="budget.trials", message=message)]
        case _:
            return []


def comparison_problems(scheduler: Scheduler, half_lives: Collection[ParamValue]) -> list[Problem]:
    """Where averaged weights are compared, every trial must keep an average from its first step on.

    Args:
        scheduler: of the sweep.
        half_lives: what trials may have as `ema_half_life`; 0 keeps none.
    """
    if not compares_averages(scheduler) or all(half_lives):
        return []
    message = (
        f"averaged needs ema_half_life above 0 in every trial, but it {'is' if len(half_lives) == 1 else 'may be'} 0. "
        "Set it (an average by swa_start begins too late for rungs), or compare by last or best."
    )
    return [Problem(key="scheduler.compare", message=message)]


def _epochs(rungs: tuple[int, ...]) -> str:
    return f"epoch{'s' if len(rungs) > 1 else ''} {listed([str(rung) for rung in rungs])}"
