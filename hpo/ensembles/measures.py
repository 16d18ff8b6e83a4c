"""How good predictions are, and how sure one can be of that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.ensembles.arrays import Array, Labels, LogProbs, check_labels, normalized, of_labels
from hpo.ensembles.confidence import adaptive_ece, aurc, bins_of, confidences, ece, selective_accuracies
from hpo.errors import EnsembleError

COVERAGES = (0.5, 0.8, 0.9, 0.95)
"""Shares of examples of which `Measures` holds the selective accuracy."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Of one predictor on one split; shares are in [0, 1]."""

    num_examples: int
    accuracy: float
    balanced_accuracy: float
    """Mean recall of the classes that occur."""
    macro_f1: float
    """Mean F1 of the classes that occur or are predicted."""
    recalls: tuple[float | None, ...]
    """Of each class; none where it does not occur."""
    nll: float
    """Mean negative log-likelihood, in nats; infinite where a true class has probability 0."""
    brier: float
    """Mean squared error summed over classes, in [0, 2] (Brier 1950); `calibration` + `refinement`."""
    calibration: float
    """Part of `brier` that comes from probabilities which are wrong on average, in bins by class."""
    refinement: float
    """The rest: variance of the errors within these bins."""
    ece: float
    adaptive_ece: float
    aurc: float
    selective_accuracies: tuple[float, ...]
    """Of the most confident examples, at each of `COVERAGES`."""


def measure(log_probs: LogProbs, labels: Labels) -> Measures:
    """All measures of predictions [n, C] against labels [n]; the class predicted is the first of the most probable.

    Raises:
        EnsembleError: if they do not belong together, or predictions are not finite.
    """
    check_labels(log_probs, labels)
    log_probs = normalized(log_probs)
    if np.isnan(log_probs).any():
        raise EnsembleError("Predictions must be log-probabilities, but a row is not finite. Leave this predictor out.")
    confusion = _confusion(log_probs, labels)
    hits, occurring, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    recalls = [hit / num if num else None for hit, num in zip(hits.tolist(), occurring.tolist(), strict=True)]
    seen = occurring + predicted > 0
    errors = np.exp(log_probs) - np.eye(log_probs.shape[1])[labels]
    calibration = _calibration(log_probs, errors)
    brier = float((errors**2).sum(1).mean())
    ranked = confidences(log_probs, labels)
    return Measures(
        num_examples=len(labels),
        accuracy=float(hits.sum() / len(labels)),
        balanced_accuracy=float(np.mean([recall for recall in recalls if recall is not None])),
        macro_f1=float(np.mean(2 * hits[seen] / (occurring + predicted)[seen])),
        recalls=tuple(recalls),
        nll=float(nlls(log_probs, labels).mean()),
        brier=brier,
        calibration=calibration,
        refinement=brier - calibration,
        ece=ece(ranked),
        adaptive_ece=adaptive_ece(ranked),
        aurc=aurc(ranked),
        selective_accuracies=selective_accuracies(ranked, COVERAGES),
    )


def nlls(log_probs: LogProbs, labels: Labels) -> Array:
    """Of each example [n], in nats."""
    [own] = -of_labels(log_probs[np.newaxis], labels)
    return np.asarray(own)


def are_right(log_probs: LogProbs, labels: Labels) -> NDArray[np.bool_]:
    """Whether the most probable class is the true one, for each example [n]."""
    right: NDArray[np.bool_] = log_probs.argmax(-1) == labels
    return right


def _confusion(log_probs: Array, labels: Labels) -> NDArray[np.int64]:
    """Examples [C, C] by true and by predicted class."""
    num_classes = log_probs.shape[1]
    cells = labels * num_classes + log_probs.argmax(1)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def _calibration(log_probs: Array, errors: Array) -> float:
    """Sum over classes and bins of the squared mean error there, weighted by the share of examples.

    The mean square of errors in a bin is their squared mean plus their variance, so what remains of the Brier score is
    variance (as Murphy 1973, with the spread of probabilities within a bin left in).
    """
    total = 0.0
    for probs, wrong in zip(np.exp(log_probs).T, errors.T, strict=True):
        bins = bins_of(probs)
        sums, counts = np.bincount(bins, wrong), np.bincount(bins)
        total += float((sums**2 / np.maximum(counts, 1)).sum()) / len(probs)
    return total
