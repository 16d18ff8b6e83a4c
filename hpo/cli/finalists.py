"""Finalists on a terminal."""

from collections.abc import Sequence

from rich.table import Table

from hpo.cli.text import objective
from hpo.results.finalists import Difference, Finalist

WHY = "The smallest network whose mean lies within one standard error of the best."
AGAINST = "vs best searched: what each scores above that one, paired by seed and, where kept, by validation example."


def finalists_table(finalists: Sequence[Finalist]) -> Table:
    """What each scored on every seed, and how sure it is that it is the best; the one that is chosen is marked."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    seeds = [f"seed {number}" for number in range(1, len(finalists[0].values) + 1)]
    for name in ("", "trial", "searched", *seeds, "mean", "95 %", "best with", "vs best\nsearched", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in finalists:
        table.add_row(
            "*" if each.is_chosen else "",
            str(each.trial_id),
            objective(each.searched),
            *map(_value, each.values),
            _value(each.mean),
            "" if each.half_width is None else f"+- {objective(each.half_width)}",
            "" if each.probability is None else f"{each.probability:.0%}",
            *_against(each.difference),
        )
    return table


def chosen_line(finalists: Sequence[Finalist]) -> str:
    """Who of them won, in a few words."""
    num_seeds = len(finalists[0].values)
    [words] = [_words(each) for each in finalists if each.is_chosen] or ["none trained to its end on every seed"]
    return f"{len(finalists)} on {num_seeds} fresh seed{'s' if num_seeds > 1 else ''}; {words}"


def _against(difference: Difference | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    return f"{difference.mean:+.4f}", f"{difference.low:+.4f} to {difference.high:+.4f}"


def _words(each: Finalist) -> str:
    width = "" if each.half_width is None else f" +- {objective(each.half_width)}"
    return f"trial {each.trial_id} is chosen, {_value(each.mean)}{width}"


def _value(value: float | None) -> str:
    return "none" if value is None else objective(value)
