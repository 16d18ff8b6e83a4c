"""A sweep as it runs: a panel in a terminal, plain lines anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.progress import Progress, Watch
from hpo.records import EndKind, TrialRecord
from hpo.sweep import Sweep

LINE_S = 2.0
"""Time between two plain lines."""
_STYLES = {
    EndKind.COMPLETE: "green",
    EndKind.STOPPED: "cyan",
    EndKind.DIVERGED: "yellow",
    EndKind.FAILED: "red",
    EndKind.TIMED_OUT: "red",
}


@contextmanager
def watching(sweep: Sweep, console: Console) -> Iterator[Watch]:
    """What to tell of a sweep's progress while it runs."""
    if not console.is_terminal:
        yield _line_by_line(sweep, console)
        return
    starting = Text(f"{sweep.name}: starting Ray ...", style="dim")
    with Live(starting, console=console, refresh_per_second=8) as live:
        yield lambda progress: live.update(_panel(sweep, progress))


def line(sweep: Sweep, progress: Progress) -> str:
    """How the sweep stands, on one line."""
    ended = ", ".join(f"{num} {kind}" for kind, num in progress.ends.items())
    parts = [
        f"{_clock(progress.elapsed_s)}",
        f"trials {sum(progress.ends.values())}/{progress.num_planned}" + (f" ({ended})" if ended else ""),
        f"epochs {progress.num_epochs}",
        "rungs " + " ".join(f"{rung}:{num}" for rung, num in progress.rungs.items()),
    ]
    if progress.best is not None:
        parts.append(f"best {best_so_far(sweep, progress.best)}")
    if progress.remaining_s is not None and progress.remaining_s >= 1:
        parts.append(f"left {_clock(progress.remaining_s)}")
    return "  ".join(parts)


def best_so_far(sweep: Sweep, trial: TrialRecord) -> str:
    """The best trial's last value, and where it came from."""
    epoch = max(trial.values)
    return f"{sweep.metric.name} {trial.values[epoch]:.4f} (trial {trial.trial_id}, epoch {epoch})"


def _line_by_line(sweep: Sweep, console: Console) -> Watch:
    last_s = 0.0

    def watch(progress: Progress) -> None:
        nonlocal last_s
        is_over = progress.num_running == 0 and progress.num_ready == 0
        if is_over or progress.elapsed_s - last_s >= LINE_S:
            last_s = progress.elapsed_s
            console.print(line(sweep, progress), highlight=False, soft_wrap=True)

    return watch


def _panel(sweep: Sweep, progress: Progress) -> Group:
    num_ended = sum(progress.ends.values())
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(sweep.name, style="bold"),
        ProgressBar(total=progress.num_planned, completed=num_ended, width=32),
        f"{num_ended}/{progress.num_planned} trials",
        f"{progress.num_epochs} epochs",
        _clock(progress.elapsed_s),
        f"about {_clock(progress.remaining_s)} left" if progress.remaining_s else "",
    )
    body = Table.grid(padding=(0, 2))
    ends = [Text(f"{num} {kind}", style=_STYLES[kind]) for kind, num in progress.ends.items()]
    waiting = [Text(f"{progress.num_running} running"), Text(f"{progress.num_ready} waiting", style="dim")]
    body.add_row("trials", Text("   ").join([*ends, *waiting]))
    body.add_row("rungs", "   ".join(f"epoch {rung}: {num}" for rung, num in progress.rungs.items()))
    body.add_row("best", best_so_far(sweep, progress.best) if progress.best is not None else "-")
    return Group(head, body)


def _clock(seconds: float | None) -> str:
    return str(timedelta(seconds=round(seconds or 0)))
