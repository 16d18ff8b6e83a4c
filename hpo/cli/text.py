"""How results read on a terminal."""

import json
import re
import sys
from datetime import timedelta
from io import StringIO
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpo.config import JsonTree
from hpo.errors import HpoError, SweepError
from hpo.records import EndKind
from hpo.spaces import Domain
from hpo.spaces.values import shown

STYLES = {
    EndKind.COMPLETE: "green",
    EndKind.STOPPED: "cyan",
    EndKind.DIVERGED: "yellow",
    EndKind.FAILED: "red",
    EndKind.TIMED_OUT: "red",
}
UNBOUNDED = 10_000
"""Columns of a file or a pipe: nothing is cut there."""


class _Unpadded(StringIO):
    """Hands on what is written to it, without the blanks with which tables fill their lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def flush(self) -> None:
        self._stream.flush()


def make_console(*, stderr: bool = False) -> Console:
    """A terminal as wide as it is; anything else without bounds, and without blanks at the ends of lines."""
    console = Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    if not console.is_terminal:
        console.width = UNBOUNDED
        console.file = _Unpadded(sys.stderr if stderr else sys.stdout)
    return console


def grid() -> Table:
    """Labels, and what they say, in two aligned columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def number(value: object) -> str:
    """A float to three digits or, where it is small, two; anything else as a sweep file writes it."""
    match value:
        case None:
            return ""
        case float() if value == 0 or 0.01 <= abs(value) < 10_000:
            return f"{value:.3g}"
        case float():
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{mantissa}e{int(exponent)}"
        case _:
            return shown(value)


def objective(value: float) -> str:
    """A value of the metric."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def domain_text(domain: Domain) -> str:
    """A domain as sweep files write it."""
    fields = domain.model_dump()
    kind, values, prior = fields.pop("distribution"), fields.pop("values", None), fields.pop("prior", None)
    when, confidence = fields.pop("when", None), fields.pop("prior_confidence", "medium")
    text = f"{kind}({', '.join(_plain(value) for value in values or fields.values())})"
    text += "" if prior is None else f" near {_plain(prior)} ({confidence} confidence)"
    return text if when is None else f"{text} when {when}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def end_text(row: JsonTree) -> Text:
    """How a trial ended, in its colour."""
    end = str(row["end"])
    return Text(end, style=STYLES[EndKind(end)] if end in set(EndKind) else "")


def why(row: JsonTree) -> str:  # noqa: PLR0911 - one for each kind of end
    """Why a trial ended as it did, in a sentence."""
    reason = row["reason"]
    match row["end"], reason:
        case "complete", _:
            return _why_complete(reason)
        case "stopped", {"rung": rung, "rank": rank, "num_seen": num_seen, "cutoff": cutoff}:
            took = "nobody could go on" if cutoff is None else f"going on took {number(cutoff)}"
            heir = f" Trial {reason['exploited']} took its place." if "exploited" in reason else ""
            return f"At epoch {rung} it was number {rank} of the {num_seen} that had come so far; {took}.{heir}"
        case "stopped", {"sweep_ended": why_ended}:
            return f"The sweep ended: {why_ended}."
        case "diverged", {"first_bad_step": step}:
            return f"The loss of step {step} was not finite."
        case "timed_out", {"limit_s": limit_s}:
            return f"It trained longer than the {clock(limit_s)} that it may."
        case _, {"error": error}:
            return str(error)
        case _:
            return "It has not ended."


def _why_complete(reason: JsonTree) -> str:
    match reason:
        case {"spared": rung, "rank": rank, "num_seen": num_seen}:
            stand = f"at epoch {rung} it was number {rank} of the {num_seen} that had come so far"
            return f"It reached the last epoch as a control: {stand}, and would have been stopped."
        case {"early_stopped": _, "best_epoch": best}:
            return f"Its validation loss was no longer falling, and it went back to epoch {best}, its best."
        case {"best_epoch": best}:
            return f"It reached the last epoch, and went back to epoch {best}, its best."
        case _:
            return "It reached the last epoch."


def print_json(value: JsonTree | list[JsonTree]) -> None:
    """Strict JSON: what is not finite must be null by now."""
    print(json.dumps(value, indent=2, allow_nan=False))


def errors_text(error: HpoError) -> Text:
    """A mistake, or each of a sweep file's on lines of its own."""
    if not isinstance(error, SweepError):
        return Text.assemble(("error: ", "bold red"), str(error))
    num = len(error.problems)
    text = Text.assemble((f"{error.source}: {num} mistake{'s' if num > 1 else ''}", "bold red"))
    for problem in error.problems:
        line = "" if problem.line is None else f"line {problem.line}"
        where = "  ".join(part for part in (line, problem.key) if part)
        text.append(f"\n\n  {where}" if where else "\n", style="bold")
        text.append(f"\n    {problem.message}")
    return text


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)
