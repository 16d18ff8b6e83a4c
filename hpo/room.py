"""Whether the training states of a sweep have room on disk."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpo.disk import free_bytes
from hpo.errors import Problem, SweepError
from hpo.scheduling import Pbt, full_budget, pauses
from hpo.scheduling.packing import most_in_cohort
from hpo.sizes import size_text
from hpo.sweep import Storage, Sweep
from hpo.training.data import Splits
from hpo.training.probe import most_state_bytes, state_bytes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Need:
    """Room for states, if all are like the base recipe's."""

    state_bytes: int
    """Of one."""
    num_at_once: int
    """States that certainly lie on disk together: of trials that run or wait, and one more."""
    num_trials: int
    """Each leaves a state, where none goes."""

    @property
    def at_once_bytes(self) -> int:
        """Without which no sweep comes to its end."""
        return self.num_at_once * self.state_bytes

    @property
    def in_all_bytes(self) -> int:
        """With which nothing need go."""
        return self.num_trials * self.state_bytes


def need_of(sweep: Sweep, state_bytes: int) -> Need:
    """What a sweep needs whose states take so much each."""
    scheduler = sweep.chosen.scheduler
    num_trials = full_budget(sweep.budget, scheduler, sweep.epochs).trials
    num_children = scheduler.num_children(sweep.epochs) if isinstance(scheduler, Pbt) else 0
    num_busy = num_trials if pauses(scheduler) else min(num_trials, _num_running(sweep, num_trials))
    return Need(state_bytes=state_bytes, num_at_once=num_busy + 1, num_trials=num_trials + num_children)


def check_room(sweep: Sweep, splits: Splits) -> None:
    """Hold the sweep against its quota and the disk; a state is only measured where room may be short.

    Raises:
        SweepError: see `refuse_without_room`.
    """
    storage = sweep.storage
    most = need_of(sweep, most_state_bytes(sweep.recipe, splits))
    if storage.keep is None and most.in_all_bytes < _free_bytes(storage):
        return
    need = need_of(sweep, state_bytes(sweep.recipe, splits))
    refuse_without_room(sweep, need)
    for advice in room_advice(storage, need):
        _log.warning("%s", advice)


def refuse_without_room(sweep: Sweep, need: Need) -> None:
    """Let no sweep begin that cannot end.

    Raises:
        SweepError: if quota or disk cannot hold the states that lie there together.
    """
    storage = sweep.storage
    needed = f"{need.num_at_once} states of {size_text(need.state_bytes)} together, {size_text(need.at_once_bytes)}"
    free = _free_bytes(storage)
    problems = []
    if storage.keep is not None and storage.keep < need.at_once_bytes:
        message = f"must hold the sweep's {needed}, but is {size_text(storage.keep)}. Raise it, or train fewer at once."
        problems.append(Problem(key="storage.keep", message=message))
    if free < need.at_once_bytes:
        message = (
            f"must have room for the sweep's {needed}, but {storage.folder.absolute()} has {size_text(free)}. "
            "Make room, or name another folder."
        )
        problems.append(Problem(key="storage.checkpoints", message=message))
    if problems:
        raise SweepError(f"sweep {sweep.name}", problems)


def room_advice(storage: Storage, need: Need) -> Iterator[str]:
    """What had better be changed of a sweep for which there is room to begin; a path comes first."""
    free = _free_bytes(storage)
    if storage.keep is None and free < need.in_all_bytes:
        yield (
            f"storage.keep: should be set, for the states of {need.num_trials} trials take "
            f"{size_text(need.in_all_bytes)} and {size_text(free)} are free: the sweep would stop midway. Set it to "
            f"{size_text(free / 2)} or so: the best are kept."
        )
    if storage.keep is not None and free < min(storage.keep, need.in_all_bytes):
        yield (
            f"storage.keep: should be at most the {size_text(free)} that are free under {storage.folder}, but is "
            f"{size_text(storage.keep)}. Lower it, or make room."
        )


def _free_bytes(storage: Storage) -> float:
    """Of a store elsewhere nothing is known: it has room."""
    return free_bytes(storage.folder) if isinstance(storage.checkpoints, Path) else math.inf


def _num_running(sweep: Sweep, num_trials: int) -> int:
    """Trials that train at once, at the least: one slot takes full cohorts, several begin with small ones."""
    match sweep.resources.max_concurrent:
        case "auto":
            return 1
        case 1:
            return most_in_cohort(num_trials, 1)
        case num_slots:
            return num_slots
