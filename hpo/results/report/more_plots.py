"""Plots of what goes beyond single params: pairs, finalists, and the ensemble."""

import math
from collections.abc import Sequence, Sized

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binned_statistic_2d

from hpo.records import End, Goal
from hpo.results.finalists import Finalist
from hpo.results.report.isoeffect import PAIRS, RATE, Isoeffect
from hpo.results.report.points import Scale
from hpo.results.report.subject import Bin, ToldEnsemble
from hpo.results.report.svg import BLUE, GREY, INK, MOST_DRAWN, VERMILLION, log_axis

NUM_CELLS = 7
"""Along each side of an isoeffect plot, of whose trials the median is shown."""
APART = 0.5
"""Powers of ten between one isoline and the next."""
COLORS = "cividis"
"""For the colour-blind, too, and in print."""


def draw_isoeffects(figure: Figure, found: Sequence[Isoeffect], scale: Scale) -> None:
    """A small plot for each pair: trials in colour, medians of cells behind them, isolines across."""
    panels = figure.subplots(1, len(PAIRS), squeeze=False)[0]
    colors = {"vmin": scale.low, "vmax": scale.high, "cmap": COLORS + ("" if scale.goal is Goal.MAXIMIZE else "_r")}
    for axes, each in zip(panels, found, strict=False):
        x, y = 10**each.places.T
        cells, *edges, _ = binned_statistic_2d(*each.places.T, each.values, "median", NUM_CELLS)
        axes.pcolormesh(*(10**edge for edge in edges), cells.T, alpha=0.35, rasterized=True, **colors)
        for marker, chosen in (("v", ~each.is_complete), ("o", each.is_complete)):
            name = f"isoeffect-{each.pair.up}-{'complete' if marker == 'o' else 'others'}"
            size, edge = (24, "white") if marker == "o" else (11, "none")
            points = axes.scatter(
                x[chosen],
                y[chosen],
                s=size,
                c=each.values[chosen],
                marker=marker,
                edgecolors=edge,
                linewidths=0.5,
                gid=name,
                rasterized=_are_many(x),
                **colors,
            )
        axes.scatter(x[each.best], y[each.best], s=90, marker="*", color=VERMILLION, edgecolors="white", linewidths=0.5)
        axes.set(xlim=_ends(x), ylim=_ends(y), xlabel=RATE)
        log_axis(axes, "x")
        log_axis(axes, "y")
        axes.set_title(each.pair.name, loc="left")
        axes.grid(visible=False)
        if each.slope is not None:
            _draw_isolines(axes, each, each.slope)
    for axes in panels[len(found) :]:
        axes.remove()
    figure.colorbar(points, ax=list(panels[: len(found)]), label=scale.metric, shrink=0.8)


def draw_front(figure: Figure, front: Sequence[End], others: Sequence[End], metrics: Sequence[str]) -> None:
    """The first metric against each other one, a small plot each, for trials that are beaten by none and by some."""
    panels = figure.subplots(1, len(metrics) - 1, squeeze=False)[0]
    for axes, name in zip(panels, metrics[1:], strict=True):
        for label, color, ends in (("others", GREY, others), ("front", VERMILLION, front)):
            x, y = ([end.metrics.get(metric, math.nan) for end in ends] for metric in (name, metrics[0]))
            axes.scatter(x, y, s=16, color=color, label=label, gid=f"front-{name}-{label}", rasterized=_are_many(x))
        axes.set(xlabel=name, ylabel=metrics[0])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)


def draw_finalists(figure: Figure, finalists: Sequence[Finalist], metric: str) -> None:
    """Each on a line of its own: its seeds, their mean with its interval, and whence the search's value has moved."""
    axes = figure.subplots()
    for row, each in enumerate(finalists):
        values = [value for value in each.values if value is not None]
        axes.scatter(values, [row] * len(values), s=16, color=GREY, gid=f"finalist-{each.trial_id}-seeds")
        axes.scatter([each.searched], [row - 0.22], s=26, facecolors="none", edgecolors=VERMILLION)
        if each.mean is not None:
            width = each.half_width or 0.0
            axes.errorbar(each.mean, row, xerr=width, fmt="D", color=BLUE, markersize=5, capsize=3)
            arrow = {"arrowstyle": "->", "color": VERMILLION, "linewidth": 1.0}
            axes.annotate("", (each.mean, row - 0.22), (each.searched, row - 0.22), arrowprops=arrow)
    names = [f"trial {each.trial_id}{' (chosen)' if each.is_chosen else ''}" for each in finalists]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=metric, ylim=(len(names) - 0.5, -0.6))


def draw_ensemble(figure: Figure, told: ToldEnsemble) -> None:
    """How NLL fell with each member, and what each weighs."""
    left, right = figure.subplots(1, 2)
    if told.path:
        by_size = {step.num_members: step.nll for step in told.path}  # of picks that add nobody, the last
        left.plot(list(by_size), list(by_size.values()), "o-", color=BLUE, gid="ensemble-path", label="ensemble")
        left.set_xticks(list(by_size))
    else:
        left.scatter([len(told.members)], [told.held_out.nll], color=BLUE, label="ensemble, held out")
        left.set_xticks([1, len(told.members)])
    left.axhline(told.best_single.val_nll, color=INK, linestyle="--", linewidth=0.9, label="best single network")
    left.set(xlabel="networks", ylabel="NLL on validation examples")
    left.legend()
    names = [_name(member.trial_id, member.repeats, member.epoch) for member in told.members]
    right.barh(range(len(names)), [member.weight for member in told.members], color=BLUE, height=0.6)
    right.set_yticks(range(len(names)), names)
    right.set(xlabel="weight", ylim=(len(names) - 0.4, -0.6))
    right.grid(visible=False, axis="y")


def draw_reliability(figure: Figure, bins: Sequence[Bin]) -> None:
    """How often predictions are right, by how sure they are; and how many there are."""
    left, right = figure.subplots(1, 2)
    confidences = [each.confidence for each in bins]
    left.plot([0, 1], [0, 1], "--", color=GREY, linewidth=0.9, label="as sure as it is right")
    left.plot(confidences, [each.accuracy for each in bins], "o-", color=BLUE, markersize=4, gid="reliability")
    left.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    left.legend()
    right.bar(confidences, [each.num_examples for each in bins], width=0.05, color=BLUE)
    right.set(xlabel="confidence", ylabel="examples", xlim=(0, 1.05))


def _name(trial_id: int, repeats: int | None, epoch: int) -> str:
    again = "" if repeats is None else f" (again {repeats})"
    return f"trial {trial_id}{again}, epoch {epoch}"


def _draw_isolines(axes: Axes, each: Isoeffect, slope: float) -> None:
    """Through the best trial, and faintly beside it."""
    x, y = 10 ** each.places[each.best]
    ends = np.array(axes.get_xlim())
    for shift in np.arange(-6, 7) * APART:
        line = y * (ends / x) ** slope * 10**shift
        looks = (INK, 1.1) if shift == 0 else (GREY, 0.5)
        axes.plot(ends, line, "--", color=looks[0], linewidth=looks[1], scalex=False, scaley=False)


def _are_many(values: Sized) -> bool:
    return len(values) > MOST_DRAWN


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Of a logarithmic axis, with a margin."""
    low, high = np.log10(values.min()), np.log10(values.max())
    margin = 0.06 * (high - low)
    return float(10 ** (low - margin)), float(10 ** (high + margin))
