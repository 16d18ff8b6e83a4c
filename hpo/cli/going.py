"""Commands that let sweeps begin, pause, go on and end."""

from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.conduct import errors_told, make_importable
from hpo.cli.options import RUNS, Json, NewId, Runs, Set, SweepFile, SweepId
from hpo.cli.remote import Driving, on_cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpo.outcome import SweepResult
    from hpo.paths import SweepPaths
    from hpo.progress import Watch
    from hpo.sweep import AnySweep

app = typer.Typer()

NO_RESULT = 3
"""Exit code of a sweep that ended without a result."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

More = Annotated[str | None, typer.Option(metavar="NUM", help="So many in all; or so many more, as +50.")]


@app.command()
def run(file: SweepFile, set_: Set = None, sweep_id: NewId = None, as_json: Json = False) -> None:
    """Run a sweep here, or on the cluster that RAY_ADDRESS names. Ctrl-C pauses it, a second one ends it."""
    from hpo.cli import show
    from hpo.cli.text import make_console
    from hpo.run import run_sweep
    from hpo.sweep import load_any

    with errors_told():
        make_importable(file.parent)
        sweep = load_any(file, set_ or [])
        show.advise(sweep, make_console(stderr=True))
        done = _watched(sweep, lambda watch: run_sweep(sweep, watch=watch, sweep_id=sweep_id), as_json=as_json)
    leave(done)


@on_cluster(app, cls=Driving)
def resume(sweep_id: SweepId, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Go on with a sweep that was paused or killed, as if nothing had happened."""
    from hpo.paths import find_sweep

    with errors_told():
        done = go_on(find_sweep(runs, sweep_id), as_json=as_json)
    leave(done)


@on_cluster(app, cls=Driving)
def extend(
    sweep_id: SweepId,
    trials: More = None,
    epochs: More = None,
    minutes: More = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Give a sweep more budget: one that runs learns of it, any other goes on here."""
    from hpo.folders.control import extend_sweep, owner
    from hpo.paths import find_sweep

    with errors_told():
        make_importable()
        paths = find_sweep(runs, sweep_id)
        told = {"trials": trials, "epochs": epochs, "minutes": minutes}
        extend_sweep(paths, {name: text for name, text in told.items() if text is not None})
        if (driver := owner(paths)) is not None:
            print(f"{paths.sweep_id} has more budget now, and {driver} goes on with it.")
            return
        done = go_on(paths, as_json=as_json)
    leave(done)


@on_cluster(app)
def pause(sweep_id: SweepId, runs: Runs = RUNS) -> None:
    """Let the driver of a sweep, which must run on this machine, leave everything as it stands, and end."""
    from hpo.folders.control import pause_sweep
    from hpo.paths import find_sweep

    with errors_told():
        paths = find_sweep(runs, sweep_id)
        pause_sweep(paths)
        print(f"{paths.sweep_id} is paused. Go on with: hpo resume {paths.sweep_id}")


@on_cluster(app)
def stop(sweep_id: SweepId, runs: Runs = RUNS) -> None:
    """Let a sweep propose no more trials: those it has begun go on to their ends, then it ends as if its budget had."""
    from hpo.folders.control import owner, stop_sweep
    from hpo.paths import find_sweep

    with errors_told():
        make_importable()
        paths = find_sweep(runs, sweep_id)
        stop_sweep(paths)
        who = f"hpo resume {paths.sweep_id}" if (driver := owner(paths)) is None else str(driver)
        print(f"{paths.sweep_id} proposes no more trials; {who} brings it to its end.")


@on_cluster(app, cls=Driving)
def cancel(sweep_id: SweepId, as_json: Json = False, runs: Runs = RUNS) -> None:
    """End all trials of a sweep where they stand, and export the best. What runs on this machine is paused first."""
    from hpo.cli import show
    from hpo.folders.control import owner, pause_sweep, refuse_ended
    from hpo.folders.folder import open_any
    from hpo.paths import find_sweep
    from hpo.run import cancel_sweep

    with errors_told():
        make_importable()
        paths = find_sweep(runs, sweep_id)
        refuse_ended(paths, "cancelled")
        if owner(paths) is not None:
            pause_sweep(paths)
        show.result(open_any(paths), cancel_sweep(paths), as_json=as_json)


def go_on(paths: "SweepPaths", *, as_json: bool) -> "SweepResult":
    """Resume a sweep, live while it runs."""
    from hpo.errors import HpoError
    from hpo.folders.control import owner
    from hpo.folders.folder import open_any
    from hpo.run import resume_sweep

    make_importable()
    if (driver := owner(paths)) is not None:
        raise HpoError(
            f"{paths.sweep_id}: must have no driver to go on here, but {driver} goes on with it. "
            f"Look on: hpo logs {paths.sweep_id} -f"
        )
    return _watched(open_any(paths), lambda watch: resume_sweep(paths, watch=watch), as_json=as_json)


def leave(done: "SweepResult") -> None:
    """With the exit code that tells how a sweep ended."""
    from hpo.tracking.tracker import SweepStatus

    if done.status is not SweepStatus.FINISHED:
        raise typer.Exit(INTERRUPTED)
    if done.best is None:
        raise typer.Exit(NO_RESULT)


def _watched(sweep: "AnySweep", go: "Callable[[Watch], SweepResult]", *, as_json: bool) -> "SweepResult":
    """Live while it runs, and as a summary at its end."""
    from hpo.cli import show
    from hpo.cli.live import watching
    from hpo.cli.text import make_console

    with watching(sweep, make_console(stderr=as_json)) as watch:
        done = go(watch)
    show.result(sweep, done, as_json=as_json)
    return done
