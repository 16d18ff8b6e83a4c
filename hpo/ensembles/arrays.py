"""What members predict, as arrays: natural logarithms of probabilities, and what they are held against."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from hpo.errors import EnsembleError

LogProbs = NDArray[np.floating[Any]]
"""Log-probabilities of classes, in nats, in any float format: [M, n, C] of members, or [n, C] of one."""
Labels = NDArray[np.integer[Any]]
"""The true classes [n], from 0."""
Array = NDArray[np.float64]


def normalized(log_probs: LogProbs) -> Array:
    """In float64, with probabilities [..., C] that sum to 1 again, as those kept in float16 do not.

    What has no such sum (a NaN, plus infinity, zero probability of everything) becomes NaN.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        normal: Array = log_softmax(np.asarray(log_probs, np.float64), axis=-1)
    return normal


def of_labels(log_probs: LogProbs, labels: Labels) -> Array:
    """The log-probability [M, n] that each member gives to what is true.

    Raises:
        EnsembleError: if labels and predictions do not belong together.
    """
    check_labels(log_probs, labels)
    rows = np.arange(len(labels))
    return np.array([normalized(member)[rows, labels] for member in log_probs]).reshape(-1, len(labels))


def check_labels(log_probs: LogProbs, labels: Labels) -> None:
    """Hold predictions [..., n, C] against labels [n].

    Raises:
        EnsembleError: if they do not belong together, or there are none.
    """
    num_examples, num_classes = log_probs.shape[-2:]
    if labels.shape != (num_examples,) or num_examples == 0:
        raise EnsembleError(
            f"Every example must have one prediction and one label, and there must be one: got {num_examples} "
            f"predictions, and labels {list(labels.shape)}. Take both from the same split."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise EnsembleError(
            f"Labels must be classes from 0 to {num_classes - 1}, as many as are predicted, but go from "
            f"{labels.min()} to {labels.max()}. Take predictions and labels of the same data."
        )
