"""Members made of random numbers, for the tests of this room."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Array = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]


def random_members(
    seed: int, num_members: int = 4, num_examples: int = 60, num_classes: int = 3, skill: float = 1.0
) -> tuple[Array, Labels]:
    """Log-probabilities [M, n, C] of members that know something, each less than the one before; and labels [n]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(num_classes, size=num_examples)
    logits = 1.5 * generator.normal(size=(num_members, num_examples, num_classes))
    skills = skill * np.linspace(1.0, 0.5, num_members)
    logits[:, np.arange(num_examples), labels] += skills[:, np.newaxis]
    return log_of(logits), labels


def log_of(logits: Any) -> Array:
    return np.asarray(log_softmax(logits, axis=-1))


def mean_nll(probs: Array, labels: Labels) -> float:
    """Of probabilities [n, C], in the plainest words."""
    return -float(np.mean([np.log(row[label]) for row, label in zip(probs, labels, strict=True)]))
