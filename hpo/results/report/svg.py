"""Plots as SVG that stands in a page: text stays text, and thousands of points become one picture."""

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hpo.results.report.markup import Markup

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
"""Told apart by the colour-blind, too (Okabe and Ito 2008)."""
GREY, INK = "#8a8a8a", "#222222"
MOST_DRAWN = 1000
"""Points of one kind that a plot holds as shapes; more of them are a picture."""
MOST_BENDS = 10_000
"""Points of faint lines that a plot holds as shapes."""
WIDTH = 7.2
"""Inches of a plot that is as wide as the page."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hpo",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "savefig.dpi": 160,
}


def drawn(draw: Callable[[Figure], None], height: float, alt: str) -> Markup:
    """What `draw` draws, as wide as a page and `height` inches high; `alt`: what it is for those who do not see it."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # as wide as the page lets it be, whatever its size in points
    head = re.sub(r' (width|height)="[^"]*pt"', "", text[: text.index(">")])
    return Markup(f'{head} role="img" aria-label="{escape(alt)}"{text[text.index(">") :]}')


def log_axis(axes: Axes, name: str) -> None:
    """Make the axis `name` (x or y) of what is drawn by now logarithmic, with labels that are text and no formulas."""
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 100 else (1.0, 2.0, 5.0), numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-")))
