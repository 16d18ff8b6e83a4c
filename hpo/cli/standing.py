"""How sweeps stand, on a terminal or as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from rich.table import Table
from rich.text import Text

from hpo.cli.live import best_so_far, ensemble_so_far
from hpo.cli.text import clock, grid, make_console, objective, print_json
from hpo.config import JsonTree
from hpo.folders.status import State, SweepState
from hpo.harvest.assembly import Left
from hpo.sizes import size_text

STYLES = {
    State.RUNNING: "green",
    State.PAUSED: "yellow",
    State.LOST: "bold red",
    State.FAILED: "red",
    State.UNKNOWN: "red",
}


def show_list(states: Sequence[SweepState], *, as_json: bool) -> None:
    """A row per sweep, then why nothing is known of some."""
    if as_json:
        print_json([as_tree(state) for state in states])
        return
    console = make_console()
    if not states:
        console.print("No sweeps here.")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("id", "name", "state", "trials", "best", "begun", "took"):
        table.add_column(name, justify="right" if name in ("trials", "best", "took") else "left", no_wrap=True)
    for state in states:
        table.add_row(state.paths.sweep_id, *_cells(state))
    console.print(table)
    for state in states:
        if state.problem is not None:
            console.print(f"\n{state.paths.sweep_id}: {state.problem}", style="red", soft_wrap=True)


def show_state(state: SweepState, *, as_json: bool) -> None:
    """All that is known of one sweep, and how to go on with it."""
    if as_json:
        print_json(as_tree(state))
        return
    console = make_console()
    rows = grid()
    for label, text in _rows(state):
        rows.add_row(label, text)
    console.print(Text.assemble((f"{state.paths.sweep_id} ", "bold"), _state_text(state)), rows)


def as_tree(state: SweepState) -> JsonTree:
    """In values that JSON knows; what is unknown is null."""
    sweep, budget, best = state.sweep, state.budget, state.best
    return {
        "id": state.paths.sweep_id,
        "name": None if sweep is None else sweep.name,
        "state": state.state.value,
        "problem": state.problem,
        "driver": state.driver,
        "waits": list(state.waits),
        "trials": dict(state.trials),
        "spent": {"trials": state.num_proposed, "epochs": state.num_epochs, "minutes": state.elapsed_s / 60},
        "budget": None if budget is None else budget.as_tree(),
        "ended": state.ended,
        "best": None if best is None else {"trial": best.trial_id, "value": state.best_value},
        "ensemble_so_far": None if state.so_far is None else asdict(state.so_far),
        "ensemble": None if state.ensemble is None else state.ensemble.model_dump(mode="json"),
        "metric": None if sweep is None else sweep.metric.name,
        "begun": None if state.began_s is None else datetime.fromtimestamp(state.began_s).astimezone().isoformat(),
        "elapsed_s": round(state.elapsed_s, 3),
        "untold": state.num_untold,
        "cluster": None if sweep is None else sweep.cluster.as_tree(),
        "states_bytes": state.states_bytes,
        "keep_bytes": None if sweep is None else sweep.storage.keep,
    }


def _cells(state: SweepState) -> Iterator[str | Text]:
    yield "" if state.sweep is None else state.sweep.name
    yield _state_text(state)
    yield "" if state.budget is None else f"{state.num_ended}/{_num_planned(state)}"
    yield "" if state.best_value is None else objective(state.best_value)
    yield _begun(state)
    yield "" if state.sweep is None else clock(state.elapsed_s)


def _rows(state: SweepState) -> Iterator[tuple[str, str | Text]]:
    if state.problem is not None:
        yield "problem", Text(state.problem, style="red")
    if state.driver is not None:
        yield "driver", state.driver
    for place, sentence in enumerate(state.waits):
        yield "" if place else "waits", sentence
    if state.state.goes_on:
        yield "go on", f"hpo resume {state.paths.sweep_id}; nothing is lost"
    if state.ended is not None:
        yield "ended", state.ended
    if state.sweep is not None and state.budget is not None:
        counts = ", ".join(f"{num} {word}" for word, num in state.trials.items()) or "none yet"
        yield "trials", f"{state.num_ended} of {_num_planned(state)} ended: {counts}"
        yield "epochs", f"{state.num_epochs}{_of(state.budget.epochs)}"
        minutes = state.budget.minutes
        yield "time", f"{clock(state.elapsed_s)}{_of(None if minutes is None else clock(60 * minutes))}"
        yield "best", "none yet" if state.best is None else best_so_far(state.sweep, state.best)
        if state.budget.target is not None:
            yield "target", objective(state.budget.target)
    if state.so_far is not None:
        yield "ensemble", f"so far {ensemble_so_far(state.so_far)}"
    elif state.ensemble is not None:
        yield "ensemble", _ensemble(state.ensemble)
    yield "begun", _begun(state)
    if state.sweep is not None and state.states_bytes is not None:
        keep = state.sweep.storage.keep
        yield "states", f"{size_text(state.states_bytes)}{_of(None if keep is None else size_text(keep))}"
    if state.num_untold > 0:
        yield "MLflow", f"{state.num_untold} entries wait to be written" + _remedy(state)


def _ensemble(left: Left) -> str:
    worth = f"NLL {objective(left.held_out.nll)}, accuracy {objective(left.held_out.accuracy)}"
    num = len(left.members)
    return f"{left.ensemble.kind} of {num} network{'s' if num > 1 else ''}: {worth} held out"


def _remedy(state: SweepState) -> str:
    return "" if state.driver is not None else f": hpo doctor {state.paths.sweep_id}"


def _state_text(state: SweepState) -> Text:
    return Text(state.state.value, style=STYLES.get(state.state, ""))


def _num_planned(state: SweepState) -> int:
    """Children come on top of those that count for the budget."""
    assert state.budget is not None
    return max(state.budget.trials, state.num_proposed) + sum(state.trials.values()) - state.num_proposed


def _begun(state: SweepState) -> str:
    return "" if state.began_s is None else f"{datetime.fromtimestamp(state.began_s).astimezone():%Y-%m-%d %H:%M}"


def _of(limit: object) -> str:
    return "" if limit is None else f" of {limit}"
