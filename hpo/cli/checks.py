"""Checks of a recipe on a terminal, or as JSON."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from hpo.cli.text import make_console, print_json
from hpo.training.diagnostics.preflight import Check

STYLES = {"passed": "green", "doubtful": "yellow", "failed": "red"}


def show_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """What was measured, what was expected, and below what to do."""
    if as_json:
        print_json([asdict(check) for check in checks])
        return
    table = Table(
        "check", "measured", "expected", "verdict", box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False
    )
    for check in checks:
        table.add_row(check.name, check.measured, check.expected, Text(check.verdict, STYLES[check.verdict]))
    console = make_console()
    console.print(table)
    for check in checks:
        if check.remedy:
            console.print(f"{check.name}: {check.remedy}", style=STYLES[check.verdict], soft_wrap=True)
