"""Plots of the search: values by order, curves by epoch, and values by param."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpo.records import Goal, ParamValue, TrialRecord
from hpo.results.report.isolation import Bucket, is_categorical, is_log
from hpo.results.report.points import Mark, Point, Scale
from hpo.results.report.svg import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MOST_BENDS,
    MOST_DRAWN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    log_axis,
)
from hpo.spaces import Domain
from hpo.spaces.values import identity, shown

NUM_COLUMNS = 2
"""Of small plots side by side."""
PANEL_HEIGHT = 1.9
"""Inches."""
MOST_PANELS = 8
"""In one figure, so that a page can hold it."""
MOST_LETTERS = 58
"""Of the names of columns, side by side in a small plot."""
ASIDE = (0.0, 0.12, -0.12, 0.24, -0.24)
"""Places in a column, one after the other, so that equal values are told apart."""
BEST_COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY)
"""Of the best trials' curves, the best first."""
_LOOKS: dict[Mark, dict[str, Any]] = {
    Mark.STOPPED: {"marker": "o", "facecolors": "none", "edgecolors": GREY, "linewidths": 0.8},
    Mark.OPEN: {"marker": "D", "facecolors": "none", "edgecolors": ORANGE, "linewidths": 0.9},
    Mark.COMPLETE: {"marker": "o", "facecolors": BLUE, "edgecolors": "white", "linewidths": 0.4},
    Mark.INFEASIBLE: {"marker": "x", "c": VERMILLION, "linewidths": 1.0},
}
"""By shape and by colour; what is drawn last lies on top."""


def draw_history(
    figure: Figure,
    points: Sequence[Point],
    best: Sequence[tuple[int, float]],
    scale: Scale,
) -> None:
    """Every trial by its number, and the best so far."""
    axes = figure.subplots()
    _scatter(axes, [point.trial_id for point in points], points, scale, name="history")
    if best:
        steps, values = zip(*best, strict=True)
        last = max(point.trial_id for point in points)
        line = [scale.clip(value) for value in (*values, values[-1])]
        axes.step([*steps, last], line, where="post", color=INK, gid="history-best", label="best so far")
    axes.set(xlabel="trial, in the order in which they were proposed", ylabel=scale.metric)
    _legend(figure)


def draw_curves(
    figure: Figure,
    trials: Sequence[TrialRecord],
    best: Sequence[int],
    rungs: Sequence[int],
    scale: Scale,
) -> None:
    """Every trial by epoch; `best`: the trials that have a colour each, the best first."""
    axes = figure.subplots()
    curves = {trial.trial_id: np.array(sorted(trial.values.items())) for trial in trials if trial.values}
    faint = [curve for trial_id, curve in curves.items() if trial_id not in best]
    are_many = sum(map(len, faint)) > MOST_BENDS
    looks: dict[str, Any] = {"colors": GREY, "alpha": 0.35, "linewidths": 0.7, "rasterized": are_many}
    axes.add_collection(LineCollection(faint, gid="curves-others", **looks))
    ends = np.array([curve[-1] for curve in faint]).reshape(-1, 2)
    axes.scatter(
        ends[:, 0], ends[:, 1], s=5, color=GREY, alpha=0.6, rasterized=len(faint) > MOST_DRAWN, gid="curves-ends"
    )
    for color, trial_id in reversed(list(zip(BEST_COLORS, best, strict=False))):
        axes.plot(*curves[trial_id].T, color=color, linewidth=1.6, label=f"trial {trial_id}", gid=f"curves-{trial_id}")
    for rung in rungs:
        axes.axvline(rung, color=INK, linestyle=":", linewidth=0.8, gid=f"curves-rung-{rung}")
    axes.autoscale_view()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch (dotted: rungs)" if rungs else "epoch", ylabel=scale.metric, ylim=(scale.low, scale.high))
    _legend(figure, is_reversed=True)


def draw_slices(
    figure: Figure,
    points: Sequence[Point],
    params: Sequence[tuple[str, Domain]],
    scale: Scale,
) -> None:
    """Values by each param, a small plot each."""
    for axes, (path, domain) in zip(_panels(figure, len(params), scale.metric), params, strict=True):
        own = [point for point in points if path in point.params]
        if is_categorical(domain):
            places = _columns(axes, domain, [point.params[path] for point in own])
        else:
            places = [float(point.params[path]) for point in own]  # type: ignore[arg-type]  # its domain holds numbers
        _scatter(axes, places, own, scale, name=f"slice-{path}")
        if is_log(domain):
            log_axis(axes, "x")
        axes.set_title(path, loc="left")
    _legend(figure)


def draw_isolation(figure: Figure, buckets: Sequence[tuple[str, Sequence[Bucket]]], scale: Scale) -> None:
    """What the best trials of each bucket come to, a small plot for each param."""
    for axes, (path, own) in zip(_panels(figure, len(buckets), scale.metric), buckets, strict=True):
        places = np.arange(len(own))
        means = [scale.clip(bucket.mean) for bucket in own]
        ends = np.array([[bucket.mean if end is None else end for end in (bucket.low, bucket.high)] for bucket in own])
        axes.vlines(places, *ends.T, color=BLUE, linewidth=1.2)
        colors = ["white" if mean != bucket.mean else BLUE for mean, bucket in zip(means, own, strict=True)]
        looks: dict[str, Any] = {"edgecolors": BLUE, "s": 22, "zorder": 3, "clip_on": False}
        axes.scatter(places, means, c=colors, gid=f"isolation-{path}", **looks)
        axes.set_ylim(scale.low, scale.high)
        _name_columns(axes, [f"{bucket.label}\nn={bucket.num_trials}" for bucket in own])
        axes.set_title(path, loc="left")


def num_rows(num_panels: int) -> int:
    """Of small plots."""
    return math.ceil(num_panels / NUM_COLUMNS)


def _scatter(axes: Axes, places: Sequence[float], points: Sequence[Point], scale: Scale, *, name: str) -> None:
    """Values within the scale; what is worse at its edge, and beyond that what has no value."""
    height = scale.high - scale.low
    worst, outwards = (scale.low, -1) if scale.goal is Goal.MAXIMIZE else (scale.high, 1)
    outside = worst + 0.06 * outwards * height
    for mark, looks in _LOOKS.items():
        own = [(place, point) for place, point in zip(places, points, strict=True) if point.mark is mark]
        own = [(place, point) for place, point in own if point.value is not None or mark is Mark.INFEASIBLE]
        if own:
            values = [outside if point.value is None else scale.clip(point.value) for _, point in own]
            x = [place for place, _ in own]
            gid = f"{name}-{mark.name.lower()}"
            axes.scatter(
                x, values, s=16, label=mark.value, gid=gid, rasterized=len(own) > MOST_DRAWN, zorder=3, **looks
            )
    if any(point.mark is Mark.INFEASIBLE for point in points):
        axes.axhline(worst, color=VERMILLION, linewidth=0.6, linestyle="--")
    ends = sorted((worst + 0.12 * outwards * height, scale.low if outwards > 0 else scale.high))
    axes.set_ylim(*ends)


def _columns(axes: Axes, domain: Domain, params: Sequence[ParamValue]) -> list[float]:
    """Places of trials in columns, each a little aside from the one before."""
    values = domain.ends()
    place_of = {identity(value): place for place, value in enumerate(values)}
    _name_columns(axes, [shown(value) for value in values])
    return [place_of[identity(value)] + ASIDE[turn % len(ASIDE)] for turn, value in enumerate(params)]


def _name_columns(axes: Axes, names: Sequence[str]) -> None:
    """In several lines, and upright where they would run into each other."""
    folded = [name.replace("_", "_\n") for name in names]
    longest = max(len(line) for name in folded for line in name.split("\n"))
    if longest * len(names) <= MOST_LETTERS:
        axes.set_xticks(range(len(names)), folded)
    else:
        axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(visible=False, axis="x")


def _panels(figure: Figure, num: int, metric: str) -> list[Axes]:
    """Small plots with one axis of values, row by row."""
    grid = figure.subplots(num_rows(num), NUM_COLUMNS, squeeze=False, sharey=True)
    panels = list(grid.flat)
    for place, axes in enumerate(panels[:num]):
        if place % NUM_COLUMNS == 0:
            axes.set_ylabel(metric)
    for axes in panels[num:]:
        axes.remove()
    return panels[:num]


def _legend(figure: Figure, *, is_reversed: bool = False) -> None:
    """Of all plots of a figure, above them."""
    found: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    order = list(found)[::-1] if is_reversed else list(found)
    if order:
        figure.legend([found[name] for name in order], order, loc="outside upper center", ncols=len(order))
