"""Whether a predictor knows what it knows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.ensembles.arrays import Array, Labels, LogProbs
from hpo.errors import EnsembleError

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Examples whose predictions are about as confident."""

    confidence: float
    """Mean probability of the class predicted."""
    accuracy: float
    num_examples: int


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Examples, the most confident first."""

    confidence: Array
    """Probability [n] of the class predicted."""
    accuracy: Array
    """Share [n] of correct predictions among the examples of the very same confidence: which of them stands first says
    nothing.
    """


def confidences(log_probs: LogProbs, labels: Labels) -> Ranked:
    """Of predictions [n, C] that are normalized."""
    levels, level = np.unique(-np.exp(log_probs.max(1)), return_inverse=True)
    counts = np.bincount(level)
    accuracy = np.bincount(level, log_probs.argmax(1) == labels) / counts
    return Ranked(confidence=np.repeat(-levels, counts), accuracy=np.repeat(accuracy, counts))


def ece(ranked: Ranked) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap of confidence and accuracy, over 15 equally wide bins."""
    gaps = np.bincount(bins_of(ranked.confidence), ranked.confidence - ranked.accuracy)
    return float(np.abs(gaps).sum() / len(ranked.confidence))


def reliability(ranked: Ranked) -> list[Bin]:
    """The bins of `ece` that hold examples, the least confident first."""
    places = bins_of(ranked.confidence)
    chosen = (places == place for place in np.unique(places))
    return [
        Bin(
            confidence=float(ranked.confidence[own].mean()),
            accuracy=float(ranked.accuracy[own].mean()),
            num_examples=int(own.sum()),
        )
        for own in chosen
    ]


def adaptive_ece(ranked: Ranked) -> float:
    """The same over 15 bins of as many examples each, or one more (Nguyen and O'Connor 2015)."""
    gaps = np.array_split(ranked.confidence - ranked.accuracy, NUM_BINS)
    return float(sum(abs(gap.sum()) for gap in gaps) / len(ranked.confidence))


def aurc(ranked: Ranked) -> float:
    """Area under the risk-coverage curve (Geifman et al. 2019): mean over k of the error of the k most confident."""
    errors = np.cumsum(1 - ranked.accuracy) / np.arange(1, len(ranked.accuracy) + 1)
    return float(errors.mean())


def selective_accuracies(ranked: Ranked, coverages: Sequence[float]) -> tuple[float, ...]:
    """Accuracy where only the most confident examples are answered, for each share of them in (0, 1], rounded up.

    Raises:
        EnsembleError: if a share is not in (0, 1].
    """
    if not all(0 < coverage <= 1 for coverage in coverages):
        raise EnsembleError(f"Coverages must be above 0 and at most 1, but are {list(coverages)}.")
    nums = [int(np.ceil(coverage * len(ranked.accuracy))) for coverage in coverages]
    return tuple(float(ranked.accuracy[:num].mean()) for num in nums)


def bins_of(probs: Array) -> NDArray[np.intp]:
    """Which of 15 equally wide bins of [0, 1] each probability lies in; a bin holds its upper edge."""
    return np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], probs)
