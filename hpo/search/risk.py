"""The chance that a trial diverges, by where it lies: a ridge logistic regression, which sees a sharp edge."""

import numpy as np
from numpy.typing import NDArray

RIDGE = 0.01
"""Penalty on squared weights: small, for the edge of divergence is sharp."""
MOST_NEWTON_STEPS = 12

_Array = NDArray[np.float64]


class Risk:
    """Learnt from trials that diverged and trials that did not."""

    def __init__(self, weights: _Array | None) -> None:
        self._weights = weights

    @property
    def is_known(self) -> bool:
        """Whether some have diverged and some have not."""
        return self._weights is not None

    def __call__(self, coordinates: _Array) -> _Array:
        """[m, d], from -1 to 1 -> chances [m]; 0 while nothing is known."""
        if self._weights is None:
            return np.zeros(len(coordinates))
        return _sigmoid(_features(coordinates) @ self._weights)


def learn_risk(coordinates: _Array, diverged: NDArray[np.bool_]) -> Risk:
    """By Newton's method.

    Args:
        coordinates: of trials that ended or were measured [n, d], from -1 to 1.
        diverged: whether each did [n].
    """
    if not diverged.any() or diverged.all():
        return Risk(None)
    features = _features(coordinates)
    weights = np.zeros(features.shape[1])
    for _ in range(MOST_NEWTON_STEPS):
        risks = _sigmoid(features @ weights)
        gradient = features.T @ (risks - diverged) + RIDGE * weights
        curvature = (features.T * (risks * (1 - risks))) @ features + RIDGE * np.eye(len(weights))
        weights -= np.linalg.solve(curvature, gradient)
    return Risk(weights)


def _features(coordinates: _Array) -> _Array:
    """A constant, coordinates, and their squares, for an edge may have two sides."""
    return np.column_stack([np.ones(len(coordinates)), coordinates, coordinates**2])


def _sigmoid(logits: _Array) -> _Array:
    return 0.5 * (1 + np.tanh(0.5 * logits))
