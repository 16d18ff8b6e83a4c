"""What a predictor is worth on examples that nobody has chosen by."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hpo.ensembles.arrays import Labels, LogProbs
from hpo.ensembles.calibration import calibrated_nll
from hpo.ensembles.intervals import Interval, interval, interval_of_difference, interval_over_seeds
from hpo.ensembles.measures import Measures, are_right, measure, nlls


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Measures of a predictor, and how far two of them may be off."""

    measures: Measures
    accuracy: Interval
    nll: Interval
    calibrated_nll: float | None
    """See `calibrated_nll`; over seeds their mean."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of two predictors on the same examples; an interval that holds 0 tells nothing."""

    accuracy: Interval
    nll: Interval


def verdict(log_probs: LogProbs, labels: Labels, seed: int) -> Verdict:
    """Of predictions [n, C]: where the means would lie were other examples drawn.

    Raises:
        EnsembleError: see `measure` and `interval`.
    """
    return Verdict(
        measures=measure(log_probs, labels),
        accuracy=interval(are_right(log_probs, labels), seed),
        nll=interval(nlls(log_probs, labels), seed),
        calibrated_nll=calibrated_nll(log_probs, labels, seed),
    )


def verdict_over_seeds(log_probs: LogProbs, labels: Labels, seed: int) -> Verdict:
    """Of S networks [S, n, C] that differ by luck alone, each by itself: means, and where other luck would put them.

    Raises:
        EnsembleError: see `measure`; or if there are fewer than two.
    """
    each = [measure(own, labels) for own in log_probs]
    calibrated = [calibrated_nll(own, labels, seed) for own in log_probs]
    told = [nll for nll in calibrated if nll is not None]
    return Verdict(
        measures=_mean(each),
        accuracy=interval_over_seeds([own.accuracy for own in each]),
        nll=interval_over_seeds([own.nll for own in each]),
        calibrated_nll=float(np.mean(told)) if len(told) == len(each) else None,
    )


def difference(first: LogProbs, second: LogProbs, labels: Labels, seed: int) -> Difference:
    """Of what `first` scores to what `second` does, [n, C] each, paired by example."""
    ours, theirs = (are_right(predicted, labels).astype(np.float64) for predicted in (first, second))
    return Difference(
        accuracy=interval_of_difference(ours, theirs, seed),
        nll=interval_of_difference(nlls(first, labels), nlls(second, labels), seed),
    )


def _mean(each: Sequence[Measures]) -> Measures:
    """On the same examples, so that a class has a recall in all of them or in none."""
    columns: dict[str, list[Any]] = {
        field.name: [getattr(own, field.name) for own in each] for field in fields(Measures)
    }
    return Measures(**{name: _mean_of(values) for name, values in columns.items()})


def _mean_of(values: Sequence[Any]) -> Any:
    match values[0]:
        case None | int():
            return values[0]
        case tuple():
            return tuple(_mean_of(column) for column in zip(*values, strict=True))
        case _:
            return float(np.mean(values))
