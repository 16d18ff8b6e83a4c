"""Rungs on a terminal, or as JSON: what was decided there, and how right that was."""

import math
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from hpo.cli.text import make_console, objective, print_json
from hpo.config import JsonTree
from hpo.records import Decision, Outcome
from hpo.results.rungs import FEWEST, NUM_BEST, Rung

WORDS = {
    Outcome.CONTINUES: "goes on",
    Outcome.PAUSES: "pauses",
    Outcome.STOPS: "stops",
    Outcome.SPARED: "spared, as a control",
}
HOW_TO_READ = """
correlation: Spearman's, of values at the rung and at the end, over the trials that went to the end
lost: the controls it would have stopped that ended among the best {num_best}; of {fewest} or more, the share of the
stopped that they stand for"""


def show_rungs(found: Sequence[Rung], num_best: int, *, as_json: bool) -> None:
    """What rungs have decided, and how right that was."""
    if as_json:
        print_json([asdict(rung) for rung in found])
        return
    console = make_console()
    if not found:
        console.print("Nothing was decided: no trial has come to a rung before the end.")
        return
    console.print(_rungs_table(found))
    for rung in found:
        if rung.num_doubted:
            passed = (
                f"epoch {rung.epoch} let {rung.num_doubted} pass that it would have stopped, for it had told nothing"
            )
            console.print(passed, soft_wrap=True)
    console.print(HOW_TO_READ.format(num_best=num_best, fewest=FEWEST), style="dim", soft_wrap=True)


def rung_text(rung: Rung) -> str:
    """The same of one rung, on one line."""
    parts = [f"epoch {rung.epoch}: {rung.num_stopped} of {rung.num_seen} stopped"]
    if rung.num_doubted:
        parts.append(f"{rung.num_doubted} let pass, for it had told nothing")
    if rung.correlation is not None:
        parts.append(f"correlation with the end {_correlation(rung)}")
    if rung.num_lost is not None:
        parts.append(f"among the best {NUM_BEST} ended {_lost(rung)}")
    return "; ".join(parts)


def decisions_table(decisions: Sequence[Decision]) -> Table:
    """What was decided of a trial, a row each time; no cutoff where any value would do, or none."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("epoch", "value", "cutoff", "rank", "decided"):
        table.add_column(name, justify="left" if name == "decided" else "right", no_wrap=True)
    for decision in decisions:
        cutoff = objective(decision.cutoff) if math.isfinite(decision.cutoff) else ""
        rank = f"{decision.rank} of {decision.num_seen}"
        table.add_row(str(decision.rung), objective(decision.value), cutoff, rank, _decided(decision))
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


def _decided(decision: Decision) -> str:
    if decision.doubt is None:
        return WORDS[decision.outcome]
    return f"{WORDS[decision.outcome]}, for the rung has told nothing: correlation {decision.doubt:.2f} with later ones"


def _rungs_table(rungs: Sequence[Rung]) -> Table:
    """A row for each."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("epoch", "seen", "stopped", "spared", "correlation", "lost"):
        table.add_column(name, justify="left" if name in ("correlation", "lost") else "right", no_wrap=True)
    for rung in rungs:
        counts = (rung.epoch, rung.num_seen, rung.num_stopped, rung.num_spared)
        table.add_row(*map(str, counts), _correlation(rung), _lost(rung))
    return table


def _correlation(rung: Rung) -> str:
    known = f"{rung.correlation:.2f} over" if rung.correlation is not None else "none over"
    controls = f", {rung.num_controls} of them controls" if rung.num_controls else ""
    return f"{known} {rung.num_finished} trials{controls}"


def _lost(rung: Rung) -> str:
    """Of the best; nothing where no control can say, and of the stopped where too few can."""
    if rung.num_lost is None:
        return ""
    controls = f"{rung.num_spared_best} of {rung.num_spared_finished} controls"
    if rung.num_spared_finished < FEWEST:
        return controls
    return f"{controls}, so about {rung.num_lost:.0f} of the {rung.num_stopped} stopped"
