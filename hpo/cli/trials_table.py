"""The leaderboard on a terminal, or for other programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from hpo.cli.text import UNBOUNDED, end_text, make_console, number, objective, print_json
from hpo.config import JsonTree
from hpo.records import TrialRecord
from hpo.results.table import leaderboard, to_json
from hpo.sweep import AnySweep

FIXED = ("#", "trial", "end", "epoch", "value")
WIDTH_OF_FIXED = 31
"""Columns of the screen that those take, with the gaps between them."""
WIDTH_OF_TEXT = 11
"""Of a param that is text, where columns are scarce."""


@dataclass(frozen=True)
class _Column:
    path: str
    header: str
    cells: list[str]
    is_text: bool
    width: int


def show_trials(
    records: Sequence[TrialRecord], sweep: AnySweep, *, top: int | None, as_json: bool, as_csv: bool
) -> None:
    """The leaderboard, or its head."""
    rows = to_json(records, sweep.goals)[:top]
    if as_json:
        print_json(rows)
        return
    if as_csv:
        print(leaderboard(records, sweep.goals)[:top].to_csv(index=False), end="")
        return
    console = make_console()
    table, left_out = trials_table(rows, console.width, list(sweep.goals)[1:])
    console.print(table)
    if left_out:
        console.print(f"No room for {', '.join(left_out)}: use a wider terminal, --csv or --json.", style="dim")
    errors = Counter(str(row["reason"]["error"]) for row in rows if "error" in row["reason"])
    for error, num in errors.most_common():
        console.print(f"{num} failed: {error}", style="red")


def trials_table(rows: Sequence[JsonTree], width: int, others: Sequence[str] = ()) -> tuple[Table, list[str]]:
    """Rows of a leaderboard within `width` columns, with these `others` of several metrics; what found no room."""
    columns = [*_repeats_column(rows), *_metric_columns(rows, others), *_param_columns(rows, width)]
    fitting = [column for num, column in enumerate(columns, start=1) if _total(columns[:num]) <= width]
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    for name in FIXED:
        table.add_column(name, justify="left" if name == "end" else "right", no_wrap=True)
    for column in fitting:
        justify: JustifyMethod = "left" if column.is_text else "right"
        table.add_column(column.header, justify=justify, width=column.width, no_wrap=True, overflow="ellipsis")
    for place, row in enumerate(rows):
        value = "" if row["value"] is None else objective(row["value"])
        fixed: list[str | Text] = [str(row["rank"]), str(row["trial"]), end_text(row), str(row["epoch"]), value]
        table.add_row(*fixed, *(column.cells[place] for column in fitting))
    return table, [column.path for column in columns[len(fitting) :]]


def _repeats_column(rows: Sequence[JsonTree]) -> Iterator[_Column]:
    """Whom a repetition trains again; no column where there is none."""
    cells = ["" if row["repeats"] is None else str(row["repeats"]["trial"]) for row in rows]
    if any(cells):
        yield _Column("repeats", "again", cells, False, max(map(len, ["again", *cells])))


def _metric_columns(rows: Sequence[JsonTree], others: Sequence[str]) -> Iterator[_Column]:
    """The metrics beside the main one, and a mark on the Pareto front of all."""
    for name in others:
        cells = [number(row["metrics"].get(name)) for row in rows]
        yield _Column(name, name.replace("_", "\n"), cells, False, max(map(len, [*name.split("_"), *cells])))
    if others:
        yield _Column("front", "front", ["*" if row["on_front"] else "" for row in rows], True, len("front"))


def _param_columns(rows: Sequence[JsonTree], width: int) -> Iterator[_Column]:
    paths = sorted({path for row in rows for path in row["params"]})
    for path, name in zip(paths, _short_names(paths), strict=True):
        values = [row["params"].get(path) for row in rows]
        is_text = any(isinstance(value, str | list) for value in values)
        widest = WIDTH_OF_TEXT if is_text and width < UNBOUNDED else UNBOUNDED
        cells = [number(value) for value in values]
        needed = max(*map(len, name.split("_")), *(min(len(cell), widest) for cell in cells))
        yield _Column(path, name.replace("_", "\n"), cells, is_text, needed)


def _short_names(paths: Sequence[str]) -> list[str]:
    """The last part of each path, where that tells it from the others; of a kind, what it is the kind of."""
    names = [path.removesuffix(".kind").rpartition(".")[2] for path in paths]
    return [name if names.count(name) == 1 else path for name, path in zip(names, paths, strict=True)]


def _total(columns: Sequence[_Column]) -> int:
    return WIDTH_OF_FIXED + sum(1 + column.width for column in columns)
