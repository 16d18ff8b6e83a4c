"""The figures of the benchmark of scale: what a trial costs early and late in a sweep, as a table and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

EARLY, LATE = (0.05, 0.15), (0.9, 1.0)
"""Shares of the trials: a tenth once all is warm, and the last one."""
NUM_WINDOWS = 10
"""Of the plot."""


class Moment(NamedTuple):
    """How a sweep's driver stands."""

    num_ended: int
    wall_s: float
    driver_s: float
    """Of a processor, in the driver's thread."""
    process_s: float
    """The same of all threads, that which writes to MLflow among them."""
    rss_mb: float
    study_mb: float


def at(moments: Sequence[Moment], share: float, name: str) -> float:
    """What stood when a share of all trials had ended; in between where several end at once."""
    firsts = {moment.num_ended: moment for moment in reversed(moments)}
    counts = sorted(firsts)
    return float(np.interp(share * counts[-1], counts, [getattr(firsts[count], name) for count in counts]))


def ms_per_trial(moments: Sequence[Moment], share: tuple[float, float], clock: str) -> float:
    """Within a share of all trials, by one of the clocks."""
    since, until = share
    num_trials = (until - since) * moments[-1].num_ended
    return 1000 * (at(moments, until, clock) - at(moments, since, clock)) / num_trials


def as_markdown(found: Mapping[str, Sequence[Moment]]) -> str:
    """A row for each sweep: early, late and their ratio."""
    clocks = {"wall": "wall_s", "driver": "driver_s", "process": "process_s"}
    heads = ["sampler, scheduler", "trials", *(f"{name}, ms per trial" for name in clocks), "memory, MB", "study, MB"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name, moments in found.items():
        costs = [[ms_per_trial(moments, share, clock) for share in (EARLY, LATE)] for clock in clocks.values()]
        memory = [at(moments, until, "rss_mb") for _, until in (EARLY, LATE)]
        cells = [f"{early:.1f} - {late:.1f} ({late / early:.2f})" for early, late in costs]
        megabytes = f"{memory[0]:.0f} - {memory[1]:.0f} ({memory[1] / memory[0]:.2f})"
        lines.append([name, str(moments[-1].num_ended), *cells, megabytes, f"{moments[-1].study_mb:.0f}"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plot(found: Mapping[str, Sequence[Moment]], path: Path) -> None:
    """Time of a trial and memory over the course of each sweep."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the table needs no plots

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    shares = [(k / NUM_WINDOWS, (k + 1) / NUM_WINDOWS) for k in range(NUM_WINDOWS)]
    for name, moments in found.items():
        left.stairs([ms_per_trial(moments, share, "driver_s") for share in shares], [0, *(high for _, high in shares)])
        ended = [moment.num_ended / moments[-1].num_ended for moment in moments]
        right.plot(ended, [moment.rss_mb for moment in moments], label=f"{name}: {moments[-1].num_ended} trials")
    left.set(xlabel="share of trials that have ended", ylabel="driver, processor ms per trial", ylim=(0, None))
    right.set(xlabel="share of trials that have ended", ylabel="memory, MB", ylim=(0, None))
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=120)
