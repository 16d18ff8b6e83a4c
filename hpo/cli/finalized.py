"""What everything is worth on the test split, on a terminal or for other programs."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hpo.cli.text import make_console, objective, print_json
from hpo.config import JsonTree

HEADER = ("", "networks", "extra\ntrials", "val\nNLL", "opti-\nmism", "test\nNLL", "95 %", "test\naccuracy", "95 %")
OPTIMISM = "optimism: test NLL, less that of the validation examples by which was selected"
WORTH = "worth: networks of the deep ensemble of the best that is as good, by calibrated NLL"
SHIFT = "label shift: the class 2, 4, 8, 16, 32 times as frequent as before that costs each the most"
WORSE = {"accuracy": "accuracy", "nll": "NLL", "ece": "ECE"}
MORE = {"ece": "ECE", "adaptive_ece": "adaptive\nECE", "brier": "Brier", "aurc": "AURC"}


def show_finalized(record: JsonTree, *, as_json: bool) -> None:
    """The table, what the ensemble is above the best single networks, and how much its selection flattered."""
    if as_json:
        print_json(record)
        return
    console = make_console()
    _warn(record, console)
    console.print(f"{record['sweep']} on {record['num_test']} test examples", style="bold")
    console.print(_table(record), "", OPTIMISM, *([WORTH] if record["deep_curve"] else []), sep="\n")
    for row in record["rows"]:
        if row["missing"] is not None:
            console.print(f"{row['name']}: {row['missing']}", style="dim", soft_wrap=True)
    if record["robustness"]:
        console.print("", _robustness(record["robustness"]), SHIFT, "", sep="\n", soft_wrap=True)
    for pair in record["differences"]:
        scores = (f"{name} {_signed(pair[key])}" for key, name in (("nll", "NLL"), ("accuracy", "accuracy")))
        console.print(f"{pair['of']} - {pair['than']}: {', '.join(scores)}", soft_wrap=True)


def _robustness(rows: Sequence[JsonTree]) -> Table:
    """A row for each severity of each kind, and of every predictor what it is worth there."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    titles = [name.replace(", ", ",\n") + f"\n{key}" for name in names for key in WORSE.values()]
    for place, name in enumerate(("", "severity", *titles)):
        table.add_column(name, justify="left" if place == 0 else "right")
    for start in range(0, len(rows), len(names)):
        alike = rows[start : start + len(names)]
        cells = (objective(row[key]) for row in alike for key in WORSE)
        table.add_row(alike[0]["kind"], str(alike[0]["severity"]), *cells)
    return table


def _warn(record: JsonTree, console: Console) -> None:
    """Who opens the test split again has seen it before."""
    if record["num_opened"] == 1:
        return
    times = ", ".join(record["opened"])
    console.print(
        f"warning: the test split has been opened {record['num_opened']} times ({times}). Whatever was changed in "
        "between may have been chosen by it: report the first table, which finalized.json keeps.",
        style="bold yellow",
        soft_wrap=True,
    )


def _table(record: JsonTree) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    worth = ("worth",) if record["deep_curve"] else ()
    for place, name in enumerate((*HEADER, *MORE.values(), "calibr.\nNLL", *worth)):
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=True)
    for row in record["rows"]:
        if row["missing"] is None:
            table.add_row(
                *_cells(row), *(_worth(row) for _ in worth), style="bold" if row is record["rows"][-1] else None
            )
        else:
            table.add_row(row["name"], "not there", style="dim")
    return table


def _cells(row: JsonTree) -> list[str]:
    test, validation = row["test"], row["validation"]
    return [
        row["name"],
        str(row["num_members"]),
        str(row["num_extra_trials"]),
        "" if validation is None else objective(validation["nll"]),
        "" if row["optimism"] is None else f"{row['optimism']['nll']:+.4f}",
        *(cell for key in ("nll", "accuracy") for cell in (objective(test[key]["mean"]), _range(test[key]))),
        *(objective(test["measures"][key]) for key in MORE),
        "" if test["calibrated_nll"] is None else objective(test["calibrated_nll"]),
    ]


def _worth(row: JsonTree) -> str:
    found = row["deep_equivalent"]
    return "" if found is None else f"{'> ' if found['is_beyond'] else ''}{found['num_networks']:.1f}"


def _range(interval: JsonTree) -> str:
    return f"{objective(interval['low'])} to {objective(interval['high'])}"


def _signed(interval: JsonTree) -> str:
    return f"{interval['mean']:+.4f} ({interval['low']:+.4f} to {interval['high']:+.4f})"
