"""The command that tells what the trials of a sweep say of its space and its budget."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from hpo.cli.conduct import errors_told
from hpo.cli.options import RUNS, Json, Runs, SweepId
from hpo.cli.remote import on_cluster

if TYPE_CHECKING:
    from rich.table import Table

    from hpo.results.analysis import ExpectedBest
    from hpo.search.importance import Importance

app = typer.Typer()

ON_IMPORTANCE = "importance: how far values of the best tenth of trials differ from those of all; 90 % by the bootstrap"
ON_BEST_OF = (
    "best of: of so many of these trials, on average; those that were stopped count with what they had by then, and "
    "those that diverged or failed as the worst; 95 % by the bootstrap"
)


@on_cluster(app)
def analyze(sweep_id: SweepId, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Tell which params decide who is good, if the best crowd at an end of a range, and if more trials would pay."""
    from hpo.cli.sweeps import open_sweep
    from hpo.cli.text import make_console, print_json
    from hpo.results.analysis import crowd_text, crowds, expected_best, of_powers, values_of
    from hpo.results.table import rank
    from hpo.search.importance import FEWEST_PER_PARAM, importances

    with errors_told():
        sweep, _, records = open_sweep(runs, sweep_id)
    ranked, goal = rank([trial for trial in records if trial.repeats is None], sweep.metric.goal), sweep.metric.goal
    values = values_of(ranked, goal)
    best_of = expected_best(values, goal, of_powers(len(values))) if values else []
    decide, at_ends = importances(ranked, sweep.space), crowds(ranked, sweep.space)
    if as_json:
        told = {"importances": [asdict(each) for each in decide], "crowds": [asdict(each) for each in at_ends]}
        print_json({**told, "expected_best": [asdict(each) for each in best_of]})
        return
    console = make_console()
    if decide:
        console.print(_importances(decide), "", sep="\n")
    if best_of:
        console.print(_best_of(best_of))
    for crowd in at_ends:
        console.print("", crowd_text(crowd), sep="\n", soft_wrap=True)
    if not decide and not best_of:
        console.print("Nothing can be said yet: too few trials have ended.")
        return
    if len(ranked) < FEWEST_PER_PARAM * len(decide):
        few = f"{len(ranked)} trials are few for {len(decide)} params: importances are a guess"
        console.print("", few, sep="\n", soft_wrap=True)
    notes = [*([ON_IMPORTANCE] if decide else []), *([ON_BEST_OF] if best_of else [])]
    console.print("", *notes, sep="\n", style="dim", soft_wrap=True)


def _importances(found: "Sequence[Importance]") -> "Table":
    table = _table("param", "importance", "90 %")
    for each in found:
        table.add_row(each.path, f"{each.share:.0%}", f"{each.low:.0%} to {each.high:.0%}")
    return table


def _best_of(found: "Sequence[ExpectedBest]") -> "Table":
    from hpo.cli.text import objective

    table = _table("best of", "value", "95 %")
    for each in found:
        table.add_row(str(each.num_trials), objective(each.value), f"{objective(each.low)} to {objective(each.high)}")
    return table


def _table(*names: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=True)
    return table
