"""One trial on a terminal, or for other programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import ceil

from rich.bar import Bar
from rich.table import Table

from hpo.cli.finalists import AGAINST, WHY, finalists_table
from hpo.cli.lineage import lineage_table
from hpo.cli.rungs import decisions_json, decisions_table
from hpo.cli.text import end_text, grid, make_console, objective, print_json, why
from hpo.cli.trials_table import trials_table
from hpo.config import JsonTree
from hpo.files import size_of
from hpo.paths import SweepPaths
from hpo.records import TrialRecord
from hpo.results.finalists import Finalist, judge
from hpo.results.finals import read_finals
from hpo.results.lineage import lineage, lineage_json
from hpo.results.table import to_json
from hpo.spaces.values import shown
from hpo.sweep import AnySweep, OwnSweep
from hpo.sweep.wording import listed
from hpo.uris import masked

NUM_POINTS = 27
"""Of a curve, on a terminal."""


def show_trial(
    record: TrialRecord,
    records: Sequence[TrialRecord],
    sweep: AnySweep,
    paths: SweepPaths,
    *,
    of_sweep: bool,
    as_json: bool,
) -> None:
    """Its params, its ancestors, its curve, what was decided at its rungs, and why it ended.

    `of_sweep` also the finalists, where there are any, and the Pareto front, where there are several metrics.
    """
    leaders = to_json(records, sweep.goals)
    row = next(row for row in leaders if row["trial"] == record.trial_id)
    has_front = of_sweep and len(sweep.goals) > 1
    front = [row for row in leaders if row["on_front"]] if has_front else []
    finalists = _finalists(records, sweep, paths) if of_sweep else []
    if as_json:
        told = {**trial_json(row, record), "lineage": lineage_json(lineage(record, records))}
        told |= {"finalists": [asdict(each) for each in finalists]} if finalists else {}
        print_json(told | ({"front": front} if has_front else {}))
        return
    console = make_console()
    console.print(f"{paths.sweep_id}/{record.trial_id}", style="bold")
    facts = _facts(row, record, records, sweep.metric.name)
    if isinstance(sweep, OwnSweep) and record.checkpoint is not None and size_of(record.checkpoint) is not None:
        facts.add_row("state", masked(record.checkpoint))
    console.print(facts)
    if finalists:
        console.print(f"\nFinalists, by {sweep.metric.name} on fresh seeds:", style="bold")
        console.print(finalists_table(finalists), f"* {WHY}", AGAINST, sep="\n")
    if front:
        console.print(f"\nNo other trial beats these in {listed(list(sweep.goals))} at once:", style="bold")
        console.print(trials_table(front, console.width, list(sweep.goals)[1:])[0])
    if "traceback" in row["reason"]:
        console.print(f"\n{row['reason']['traceback']}")


def _finalists(records: Sequence[TrialRecord], sweep: AnySweep, paths: SweepPaths) -> Sequence[Finalist]:
    if sweep.finalists is None:
        return []
    return read_finals(paths.finalists, judge(sweep.finalists, records, sweep.metric.goal))


def trial_json(row: JsonTree, record: TrialRecord) -> JsonTree:
    """A row of the leaderboard, and what has no room there."""
    values = {str(epoch): value for epoch, value in record.values.items()}
    decisions = decisions_json(record.decisions)
    is_there = record.checkpoint is not None and size_of(record.checkpoint) is not None
    checkpoint = record.checkpoint if is_there else None
    return {**row, "values": values, "decisions": decisions, "checkpoint": checkpoint}


def params_table(params: Mapping[str, object]) -> Table:
    """Every digit: this is what one copies into a sweep file."""
    return _lines({path: shown(value) for path, value in params.items()})


def _facts(row: JsonTree, record: TrialRecord, records: Sequence[TrialRecord], metric: str) -> Table:
    legs = lineage(record, records)
    rows = grid()
    rows.add_row("end", end_text(row))
    rows.add_row("why", why(row))
    rows.add_row("rank", f"{row['rank']} of {len(records)}")
    if record.repeats is not None:
        rows.add_row("again", f"trial {record.repeats} on fresh luck, seed {record.seed_index}")
    rows.add_row("params", params_table(record.params))
    if len(legs) > 1:
        rows.add_row("lineage", lineage_table(legs))
    if row["metrics"]:
        rows.add_row("metrics", _lines({name: _digits(value) for name, value in row["metrics"].items()}))
    if record.values:
        rows.add_row(metric, _curve(record.values))
    if record.decisions:
        rows.add_row("rungs", decisions_table(record.decisions))
    return rows


def _digits(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"


def _lines(entries: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in entries.items():
        table.add_row(name, text)
    return table


def _curve(values: Mapping[int, float]) -> Table:
    """Values by epoch, as bars from zero; of long curves every so many epochs, and the last."""
    epochs = sorted(values)
    every = ceil(len(epochs) / NUM_POINTS)
    greatest = max(values.values())
    table = Table.grid(padding=(0, 2))
    for epoch in reversed(epochs[::-every]):
        bar = Bar(size=greatest, begin=0, end=values[epoch], width=30, color="cyan") if greatest > 0 else ""
        table.add_row(f"epoch {epoch}", objective(values[epoch]), bar)
    return table
