"""Commands that say how sweeps stand."""

import os
import time
from contextlib import suppress
from typing import Annotated

import typer

from hpo.cli.conduct import errors_told, make_importable
from hpo.cli.options import RUNS, Json, OneId, Runs, SweepId
from hpo.cli.remote import on_cluster
from hpo.cli.unbegun import Logs, OfOne

app = typer.Typer()
LOOK_S = 0.5


@on_cluster(app, "ls")
def ls_(as_json: Json = False, runs: Runs = RUNS) -> None:
    """All sweeps, the newest first: how each stands, how far it is, and its best value."""
    from hpo.cli.standing import show_list
    from hpo.folders.status import list_states
    from hpo.paths import list_sweeps

    with errors_told():
        show_list(list_states(list_sweeps(runs), time.time()), as_json=as_json)


@on_cluster(app, cls=OfOne)
def status(
    sweep_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="A sweep's id, or how it begins; else the newest.")
    ] = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """How a sweep stands, or the newest one: who runs it, what its work waits for, what is spent of its budget."""
    from hpo.cli.standing import show_state
    from hpo.folders.status import list_states, measured
    from hpo.paths import find_sweep, list_sweeps

    with errors_told():
        sweeps = list_sweeps(runs)
        asked = sweeps[-1] if sweep_id is None and sweeps else find_sweep(runs, sweep_id or "")
        [state] = list_states([asked], time.time())
        show_state(measured(state), as_json=as_json)


@on_cluster(app, cls=Logs)
def logs(
    sweep_id: SweepId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on while it has a driver, or until Ctrl-C.")
    ] = False,
    runs: Runs = RUNS,
) -> None:
    """What the drivers of a sweep have said: how far it was, warnings, and why it ended."""
    from hpo.folders.control import owner
    from hpo.paths import find_sweep

    with errors_told(), suppress(KeyboardInterrupt):
        make_importable()
        paths = find_sweep(runs, sweep_id)
        if not paths.log.exists():
            return
        with paths.log.open(encoding="utf-8") as log:
            while True:
                goes_on = follow and owner(paths) is not None  # asked first: then nothing that it says is missed
                print(log.read(), end="", flush=True)
                if not goes_on:
                    return
                time.sleep(LOOK_S)


@on_cluster(app)
def doctor(
    sweep_id: OneId = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Say what is wrong with sweeps and, where RAY_ADDRESS names a cluster, with its nodes; mend what can be mended.

    MLflow is told what it missed while it was away.

    Nodes are asked for their versions, their clocks, and whether they reach the states of the sweeps.
    """
    from hpo.cli.doctor import show_checkups
    from hpo.folders.doctor import check_nodes, check_up, node_problems
    from hpo.paths import find_sweep, list_sweeps

    with errors_told():
        make_importable()
        sweeps = list_sweeps(runs) if sweep_id is None else [find_sweep(runs, sweep_id)]
        found = check_up(sweeps)
        nodes = check_nodes(sweeps) if os.environ.get("RAY_ADDRESS") else []
        problems = node_problems(nodes)
        show_checkups(found, nodes, problems, as_json=as_json)
    if problems or any(checkup.problems for checkup in found):
        raise typer.Exit(1)
