"""Predictors where classes are more or less frequent than in the examples there are."""

from dataclasses import dataclass

import numpy as np

from hpo.ensembles.arrays import Array, Labels, LogProbs, check_labels, normalized
from hpo.ensembles.confidence import bins_of
from hpo.ensembles.measures import are_right, nlls

ODDS = (2, 4, 8, 16, 32)
"""By which a class becomes more frequent against all others, by severity from 1."""


@dataclass(frozen=True, kw_only=True)
class Shifted:
    """Measures of one predictor where one class is more frequent."""

    more_of: int
    """The class."""
    accuracy: float
    nll: float
    """In nats."""
    ece: float


def worst_shift(log_probs: LogProbs, labels: Labels, odds: float) -> Shifted:
    """Where the class is more frequent of which that gives predictions [n, C] the highest NLL.

    Within a class examples stay what they are, so that each counts as often as its class has become more frequent
    (label shift: Lipton et al. 2018, section 3).

    Raises:
        EnsembleError: if labels and predictions do not belong together.
    """
    each = [reweighted(log_probs, labels, label, odds) for label in np.unique(labels).tolist()]
    return max(each, key=lambda shifted: shifted.nll)


def reweighted(log_probs: LogProbs, labels: Labels, more_of: int, odds: float) -> Shifted:
    """Measures of predictions [n, C] with examples of class `more_of` counted `odds` times.

    Raises:
        EnsembleError: if labels and predictions do not belong together.
    """
    check_labels(log_probs, labels)
    weights = np.where(labels == more_of, odds, 1.0)
    weights /= weights.sum()
    right = are_right(log_probs, labels).astype(np.float64)
    return Shifted(
        more_of=more_of,
        accuracy=float(weights @ right),
        nll=float(weights @ nlls(log_probs, labels)),
        ece=_ece(np.exp(normalized(log_probs).max(1)), right, weights),
    )


def _ece(confidence: Array, right: Array, weights: Array) -> float:
    gaps = np.bincount(bins_of(confidence), weights * (confidence - right))
    return float(np.abs(gaps).sum())
