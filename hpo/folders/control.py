"""Sweeps from outside: who drives them, and what they are told."""

import os
import signal
import socket
import time
from collections.abc import Mapping

from hpo.errors import HpoError
from hpo.folders.folder import open_any, write_resolved
from hpo.folders.status import list_states
from hpo.paths import SweepPaths
from hpo.search.database import owner_of
from hpo.search.storage import Owner
from hpo.sweep import load_any

PAUSE_S = 120.0
"""How long a driver may take to leave everything in order: MLflow may be slow."""
LOOK_S = 0.1


def owner(paths: SweepPaths) -> Owner | None:
    """The driver of a sweep; none if nobody drives it."""
    return owner_of(open_any(paths).storage.place(paths))


def pause_sweep(paths: SweepPaths, timeout_s: float = PAUSE_S) -> None:
    """Let the driver leave everything as it stands, and wait until it has.

    Raises:
        HpoError: if there is no driver, if it runs on another machine, or if it does not end.
    """
    place = open_any(paths).storage.place(paths)
    driver = owner_of(place)
    if driver is None:
        raise HpoError(f"{paths.sweep_id}: must run to be paused, but has no driver. See: hpo trials {paths.sweep_id}")
    if driver.host != socket.gethostname():
        raise HpoError(f"{paths.sweep_id}: its driver must run on this machine, but is {driver}. Pause it there.")
    os.kill(driver.process_id, signal.SIGTERM)
    patience = time.monotonic() + timeout_s
    while owner_of(place) == driver:
        if time.monotonic() > patience:
            raise HpoError(f"{paths.sweep_id}: {driver} must end within {timeout_s:g} s, but does not. End it by hand.")
        time.sleep(LOOK_S)


def stop_sweep(paths: SweepPaths) -> None:
    """Let a sweep propose no more: what it has begun goes on to its end, then it ends as one whose budget is spent.

    Its driver heeds that at the next report; the next one, if it has none. `extend_sweep` takes it back.

    Raises:
        HpoError: if the sweep has ended.
    """
    refuse_ended(paths, "stopped")
    paths.stop.touch()


def refuse_ended(paths: SweepPaths, what: str) -> None:
    """Let nobody change what a sweep that is over has come to; `what` it was to be.

    Raises:
        HpoError: if the sweep has ended.
    """
    [state] = list_states([paths], time.time())
    if state.ended is not None:
        raise HpoError(f"{paths.sweep_id}: must not have ended to be {what}, but has: {state.ended}. Leave it so.")


def extend_sweep(paths: SweepPaths, told: Mapping[str, str]) -> None:
    """Change the budget of a sweep, for its driver or the next one; if it was stopped, it no longer is.

    Args:
        paths: the sweep's.
        told: limits by name, as numbers; with a plus, so much more than now.

    Raises:
        HpoError: if nothing is told, or if what is told is no budget, or no more than is spent.
    """
    if not told:
        raise HpoError("a sweep must be given more of something. Say --trials, --epochs or --minutes, such as +50.")
    sweep = open_any(paths)
    overrides = []
    for name, text in told.items():
        limit = getattr(sweep.budget, name)
        if text.startswith("+") and limit is None:
            raise HpoError(f"budget.{name}: must have a limit to be given {text}, but has none. Say how many in all.")
        overrides.append(f"budget.{name}={_added(name, limit, text) if text.startswith('+') else text}")
    extended = load_any(paths.resolved, overrides)
    _refuse_spent(paths, {name: getattr(extended.budget, name) for name in told})
    paths.stop.unlink(missing_ok=True)  # first: the driver looks here after it has seen the file change
    write_resolved(paths, extended)


def _refuse_spent(paths: SweepPaths, limits: Mapping[str, float | None]) -> None:
    [state] = list_states([paths], time.time())
    spent = {"trials": state.num_proposed, "epochs": state.num_epochs, "minutes": round(state.elapsed_s / 60, 1)}
    for name, limit in limits.items():
        if limit is not None and limit <= spent[name]:
            raise HpoError(
                f"budget.{name}: must be more than the {spent[name]} that are spent, but got {limit:g}. "
                f"Raise it, or say how many more: --{name} +50. To end a sweep: hpo stop {paths.sweep_id}"
            )


def _added(name: str, limit: float, text: str) -> float:
    try:
        return limit + type(limit)(text)
    except ValueError:
        raise HpoError(f"--{name}: must be a number such as 100 or +50, but got {text}. Change it.") from None
