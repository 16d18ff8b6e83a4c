"""The curve of a learning-rate range test, as a table and as a picture."""

from pathlib import Path

import pandas as pd

from hpo.paths import written_beside
from hpo.training.lr_range import LrCurve

TABLE = "curve.csv"
PICTURE = "curve.png"


def write_lr_curve(folder: Path, curve: LrCurve) -> Path:
    """Write every step before the loss blew up (rate, loss, smoothed), and a picture with what they suggest.

    Raises:
        LrRangeError: if they suggest nothing; the table is written by then.
    """
    rows = pd.DataFrame({"rate": curve.rates, "loss": curve.losses, "smoothed": curve.smoothed})
    with written_beside(folder / TABLE) as beside:
        rows.to_csv(beside, index=False)
    suggestion = curve.suggest()
    _plot(folder / PICTURE, curve, {"steepest": suggestion.steepest, "largest stable": suggestion.largest_stable})
    return folder


def _plot(path: Path, curve: LrCurve, marks: dict[str, float]) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, for those who ask for a picture

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(curve.rates, curve.losses, color="0.8", label="loss")
    axes.semilogx(curve.rates, curve.smoothed, label="smoothed")
    for style, (name, rate) in zip(("--", ":"), marks.items(), strict=True):
        axes.axvline(rate, color="black", linestyle=style, label=f"{name}: {rate:.2g}")
    axes.set(xlabel="learning rate", ylabel="training loss", ylim=(0, 1.2 * max(curve.smoothed)))
    axes.legend()
    with written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=120)
