"""Rungs on a terminal, or as JSON: what was decided there."""

import math
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from hpo.cli.text import objective
from hpo.config import JsonTree
from hpo.records import Decision, Outcome

WORDS = {
    Outcome.CONTINUES: "goes on",
    Outcome.PAUSES: "pauses",
    Outcome.STOPS: "stops",
    Outcome.SPARED: "spared, as a control",
}


def decisions_table(decisions: Sequence[Decision]) -> Table:
    """What was decided of a trial, a row each time; no cutoff where any value would do, or none."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("epoch", "value", "cutoff", "rank", "decided"):
        table.add_column(name, justify="left" if name == "decided" else "right", no_wrap=True)
    for decision in decisions:
        cutoff = objective(decision.cutoff) if math.isfinite(decision.cutoff) else ""
        rank = f"{decision.rank} of {decision.num_seen}"
        table.add_row(str(decision.rung), objective(decision.value), cutoff, rank, WORDS[decision.outcome])
    return table


def decisions_json(decisions: Sequence[Decision]) -> list[JsonTree]:
    """The same with every digit; what is not finite is null."""
    return [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(decision).items()
        }
        for decision in decisions
    ]
