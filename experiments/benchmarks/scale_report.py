"""The figures of the benchmark of scale: what a trial costs early and late in a sweep, as a table and a plot."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

Share = tuple[float, float]
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
    work_s: float
    """Of a processor, for a fixed piece of work at that moment."""


def at(moments: Sequence[Moment], share: float, values: Sequence[float]) -> float:
    """Of values at all moments, that of when a share of the trials had ended; in between where several do at once."""
    firsts = {moment.num_ended: value for moment, value in reversed(list(zip(moments, values, strict=True)))}
    counts = sorted(firsts)
    return float(np.interp(share * counts[-1], counts, [firsts[count] for count in counts]))


def per_trial(moments: Sequence[Moment], share: Share, values: Sequence[float]) -> float:
    """What comes to a value with a trial, within a share of all."""
    since, until = share
    return (at(moments, until, values) - at(moments, since, values)) / ((until - since) * moments[-1].num_ended)


def pieces(moments: Sequence[Moment]) -> list[float]:
    """How many fixed pieces of work the driver's thread could have done by each moment."""
    steps = itertools.pairwise(moments)
    return [0.0, *itertools.accumulate((later.driver_s - sooner.driver_s) / later.work_s for sooner, later in steps)]


def as_markdown(found: Mapping[str, Sequence[Moment]]) -> str:
    """A row for each sweep: early, late and their ratio."""
    heads = ["sampler, scheduler", "trials", "wall, ms per trial", "driver, ms per trial", "process, ms per trial"]
    heads += ["driver, pieces of work per trial", "memory, MB", "study, MB"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name, moments in found.items():
        clocks = [[1000 * moment[k] for moment in moments] for k in (1, 2, 3)]
        costs = [[per_trial(moments, share, clock) for share in (EARLY, LATE)] for clock in (*clocks, pieces(moments))]
        megabytes = [moment.rss_mb for moment in moments]
        costs.append([at(moments, until, megabytes) for _, until in (EARLY, LATE)])
        cells = [f"{early:.1f} - {late:.1f} ({late / early:.2f})" for early, late in costs]
        lines.append([name, str(moments[-1].num_ended), *cells, f"{moments[-1].study_mb:.0f}"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plot(found: Mapping[str, Sequence[Moment]], path: Path) -> None:
    """Time of a trial and memory over the course of each sweep."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the table needs no plots

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    shares = [(k / NUM_WINDOWS, (k + 1) / NUM_WINDOWS) for k in range(NUM_WINDOWS)]
    for name, moments in found.items():
        done = pieces(moments)
        left.stairs([per_trial(moments, share, done) for share in shares], [0, *(high for _, high in shares)])
        ended = [moment.num_ended / moments[-1].num_ended for moment in moments]
        right.plot(ended, [moment.rss_mb for moment in moments], label=f"{name}: {moments[-1].num_ended} trials")
    left.set(xlabel="share of trials that have ended", ylabel="driver, pieces of work per trial", ylim=(0, None))
    right.set(xlabel="share of trials that have ended", ylabel="memory, MB", ylim=(0, None))
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=120)
