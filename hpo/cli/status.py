"""Commands that say how sweeps stand."""

import os
import time
from typing import Annotated

import typer

from hpo.cli.conduct import errors_told, make_importable
from hpo.cli.options import RUNS, Json, Runs

app = typer.Typer()


@app.command(name="ls")
def ls_(as_json: Json = False, runs: Runs = RUNS) -> None:
    """All sweeps, the newest first: how each stands, how far it is, and its best value."""
    from hpo.cli.standing import show_list
    from hpo.paths import list_sweeps
    from hpo.status import list_states

    with errors_told():
        show_list(list_states(list_sweeps(runs), time.time()), as_json=as_json)


@app.command()
def status(
    sweep_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="A sweep's id, or how it begins.")] = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """How a sweep stands, or the newest one: who runs it, what its work waits for, what is spent of its budget."""
    from hpo.cli.standing import show_state
    from hpo.paths import find_sweep, list_sweeps
    from hpo.status import list_states, measured

    with errors_told():
        sweeps = list_sweeps(runs)
        asked = sweeps[-1] if sweep_id is None and sweeps else find_sweep(runs, sweep_id or "")
        [state] = list_states([asked], time.time())
        show_state(measured(state), as_json=as_json)


@app.command()
def doctor(
    sweep_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Only this sweep.")] = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Say what is wrong with sweeps and, where RAY_ADDRESS names a cluster, with its nodes; mend what can be mended.

    MLflow is told what it missed while it was away. Nodes are asked for their versions, their clocks, and whether they
    reach the states of the sweeps.
    """
    from hpo.cli.doctor import show_checkups
    from hpo.doctor import check_nodes, check_up, node_problems
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
