"""A sweep as it runs: a panel in a terminal, plain lines anywhere else."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.cli.text import STYLES, clock, grid, objective
from hpo.progress import EnsembleSoFar, Progress, Watch
from hpo.records import TrialRecord
from hpo.sweep import AnySweep

logger = logging.getLogger(__name__)

LINE_S, LOG_S = 2.0, 10.0
"""Time between two plain lines, and between two in the sweep's log."""
WIDTH = 80
"""Of the panel, at most."""


@contextmanager
def watching(sweep: AnySweep, console: Console) -> Iterator[Watch]:
    """What to tell of a sweep's progress while it runs."""
    if not console.is_terminal:
        yield _in_log_too(sweep, _line_by_line(sweep, console))
        return
    panel = _LivePanel(sweep, time.monotonic)
    with Live(get_renderable=panel.render, console=console, refresh_per_second=4):
        yield _in_log_too(sweep, panel.show)


def line(sweep: AnySweep, progress: Progress) -> str:
    """How the sweep stands, on one line."""
    ended = ", ".join(f"{num} {kind}" for kind, num in progress.ends.items())
    parts = [
        clock(progress.elapsed_s),
        f"trials {sum(progress.ends.values())}/{progress.num_planned}" + (f" ({ended})" if ended else ""),
        f"epochs {progress.num_epochs}",
        "rungs " + " ".join(f"{rung}:{num}" for rung, num in progress.rungs.items()),
    ]
    if progress.best is not None:
        parts.append(f"best {best_so_far(sweep, progress.best)}")
    if progress.ensemble is not None:
        parts.append(f"ensemble {ensemble_so_far(progress.ensemble)}")
    if progress.remaining_s is not None and progress.remaining_s >= 1 and not progress.is_over:
        parts.append(f"left {clock(progress.remaining_s)}")
    return "  ".join(parts)


def best_so_far(sweep: AnySweep, trial: TrialRecord) -> str:
    """The best trial's last value, and where it came from."""
    epoch = trial.end.epoch if trial.end is not None else max(trial.values)
    return f"{sweep.metric.name} {objective(trial.values[epoch])} (trial {trial.trial_id}, epoch {epoch})"


def ensemble_so_far(ensemble: EnsembleSoFar) -> str:
    """What its members come to together, and the best of all alone."""
    return (
        f"of {ensemble.num_members}: NLL {ensemble.nll:.3f}, accuracy {ensemble.accuracy:.3f}; "
        f"best single NLL {ensemble.single_nll:.3f}, accuracy {ensemble.single_accuracy:.3f}"
    )


def _in_log_too(sweep: AnySweep, watch: Watch) -> Watch:
    last_s = -LOG_S

    def both(progress: Progress) -> None:
        nonlocal last_s
        watch(progress)
        if progress.is_over or progress.elapsed_s - last_s >= LOG_S:
            last_s = progress.elapsed_s
            logger.info(line(sweep, progress))

    return both


def _line_by_line(sweep: AnySweep, console: Console) -> Watch:
    last_s = 0.0

    def watch(progress: Progress) -> None:
        nonlocal last_s
        if progress.is_over or progress.elapsed_s - last_s >= LINE_S:
            last_s = progress.elapsed_s
            console.print(line(sweep, progress), soft_wrap=True)

    return watch


class _LivePanel:
    """Draws the last progress that it was told; its clock goes on in between."""

    def __init__(self, sweep: AnySweep, now: Callable[[], float]) -> None:
        self._sweep = sweep
        self._now = now
        self._progress: Progress | None = None
        self._told = now()

    def show(self, progress: Progress) -> None:
        self._progress, self._told = progress, self._now()

    def render(self) -> RenderableType:
        since_s = self._now() - self._told
        if self._progress is None:
            return Text(f"{self._sweep.name}: starting, {clock(since_s)}", style="dim")
        return _panel(self._sweep, self._progress, since_s)


def _panel(sweep: AnySweep, progress: Progress, since_s: float) -> Panel:
    """How the sweep stood `since_s` ago."""
    num_ended = sum(progress.ends.values())
    bar = Table.grid(padding=(0, 2))
    bar.add_row(ProgressBar(progress.num_planned, num_ended, width=30), f"{num_ended} of {progress.num_planned} ended")
    ends = [Text(f"{num} {kind}", style=STYLES[kind]) for kind, num in progress.ends.items()]
    going = [Text(f"{progress.num_running} running"), Text(f"{progress.num_ready} waiting", style="dim")]
    rows = grid()
    rows.add_row("trials", bar)
    rows.add_row("", Text("   ").join([*ends, *going]))
    rows.add_row("rungs", "   ".join(f"epoch {rung}: {num}" for rung, num in progress.rungs.items()))
    rows.add_row("best", best_so_far(sweep, progress.best) if progress.best is not None else "none yet")
    if progress.ensemble is not None:
        rows.add_row("ensemble", ensemble_so_far(progress.ensemble))
    rows.add_row("time", _time(progress, since_s))
    return Panel(rows, title=sweep.name, title_align="left", width=WIDTH)


def _time(progress: Progress, since_s: float) -> str:
    spent = f"{clock(progress.elapsed_s + since_s)}, {progress.num_epochs} epochs"
    if progress.remaining_s is None or progress.is_over or progress.remaining_s <= since_s:
        return spent
    return f"{spent}, about {clock(progress.remaining_s - since_s)} left"
