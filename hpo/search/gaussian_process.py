"""A Gaussian process over configurations and epochs, small and exact.

The covariance of two measurements (x, e) and (x', e') is m(x, x') * (s + t * r(e, e')): m is Matern 5/2 with a length
scale for every feature, r is Gaussian over scaled log epochs. What a configuration is worth whatever its epoch has
variance s, how its curve bends has t: the idea of Swersky et al. (2014), "Freeze-Thaw Bayesian Optimization", in a form
that needs no exponential curves. Hyperparameters are the mode of their posterior.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

JITTER = 1e-8
"""Added to the noise, so that the covariance can be factored."""
MOST_ITERATIONS = 40
"""Of L-BFGS, which finds the mode."""
MOST_WIDTHS = 4.0
"""How far from the mode of its prior, in standard deviations, a hyperparameter is looked for."""
_SQRT5 = float(np.sqrt(5.0))


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Of the covariance; all are positive."""

    length_scales: Vector
    """[d], of the features."""
    epoch_scale: float
    """Length scale over scaled log epochs."""
    level: float
    """s: variance of what a configuration is worth at any epoch."""
    bend: float
    """t: variance of what it is worth at one epoch and not at others."""
    noise: float
    """Variance of a measurement."""

    @classmethod
    def start(cls, num_features: int) -> Self:
        """The mode of the prior."""
        return cls(length_scales=np.ones(num_features), epoch_scale=0.5, level=0.7, bend=0.5, noise=3e-3)


_PRIOR_WIDTHS = (0.7, 0.7, 0.7, 1.2)
"""Standard deviations of the logarithms of the last four."""
_SCALE_WIDTH = 1.3
"""And of the length scales."""


def covariance(hyper: Hyperparameters, a: Matrix, b: Matrix) -> Matrix:
    """[n, d + 1] and [m, d + 1] -> [n, m]; the last column is the scaled log epoch."""
    distances = np.sqrt(squared_distances(a[:, :-1] / hyper.length_scales, b[:, :-1] / hyper.length_scales) + 1e-16)
    of_epochs = np.exp(-0.5 * ((a[:, -1:] - b[:, -1]) / hyper.epoch_scale) ** 2)
    return _matern(distances) * (hyper.level + hyper.bend * of_epochs)


def fit(x: Matrix, y: Vector) -> Hyperparameters:
    """The mode of the posterior of the hyperparameters.

    Args:
        x: features and scaled log epoch of each measurement [n, d + 1].
        y: measurements, standardised [n].
    """
    start = _as_logs(Hyperparameters.start(x.shape[1] - 1))
    reach = MOST_WIDTHS * _prior_widths(len(start))
    found = minimize(
        _negative_log_posterior,
        start,
        (_squared_gaps(x[:, :-1]), _squared_gaps(x[:, -1:])[..., 0], y),
        "L-BFGS-B",
        jac=True,
        bounds=list(zip(start - reach, start + reach, strict=True)),
        options={"maxiter": MOST_ITERATIONS},
    )
    return _from_logs(found.x if np.isfinite(found.fun) else start)


class GaussianProcess:
    """The posterior given measurements."""

    def __init__(self, hyper: Hyperparameters, x: Matrix, y: Vector) -> None:
        """See `fit`."""
        self._hyper = hyper
        self.inputs = x
        self._y = y
        matrix = covariance(hyper, x, x)
        matrix[np.diag_indices_from(matrix)] += hyper.noise + JITTER
        self._factor: Matrix = cholesky(matrix, lower=True)
        self._weights: Vector = cho_solve((self._factor, True), y)

    def predict(self, x: Matrix) -> tuple[Vector, Vector]:
        """Mean and standard deviation of the noiseless values at [m, d + 1]."""
        across = covariance(self._hyper, x, self.inputs)
        explained = solve_triangular(self._factor, across.T, lower=True)
        variances = self._hyper.level + self._hyper.bend - (explained**2).sum(0)
        return across @ self._weights, np.sqrt(np.maximum(variances, 1e-12))

    def believing(self, x: Matrix) -> "GaussianProcess":
        """The same, as if its means at [m, d + 1] had been measured (Ginsbourger et al. 2010, "kriging believer")."""
        if len(x) == 0:
            return self
        return GaussianProcess(self._hyper, np.vstack([self.inputs, x]), np.concatenate([self._y, self.predict(x)[0]]))


def _negative_log_posterior(
    logs: Vector, gaps: NDArray[np.float64], epoch_gaps: Matrix, y: Vector
) -> tuple[float, Vector]:
    """Up to a constant, with its gradient in the logarithms of the hyperparameters.

    Args:
        logs: of the hyperparameters.
        gaps: between features, squared [n, n, d].
        epoch_gaps: between scaled log epochs, squared [n, n].
        y: measurements [n].
    """
    hyper = _from_logs(logs)
    distances = np.sqrt(gaps @ hyper.length_scales**-2 + 1e-16)
    epoch_gaps = epoch_gaps / hyper.epoch_scale**2
    matern, of_epochs = _matern(distances), np.exp(-0.5 * epoch_gaps)
    of_level, of_bend = hyper.level * matern, hyper.bend * matern * of_epochs
    matrix = of_level + of_bend
    matrix[np.diag_indices_from(matrix)] += hyper.noise + JITTER
    try:
        factor = cholesky(matrix, lower=True)
    except LinAlgError:
        return np.inf, np.zeros_like(logs)
    inverse = cho_solve((factor, True), np.eye(len(y)))
    weights = inverse @ y
    pull = inverse - np.outer(weights, weights)
    slope = pull * (hyper.level + hyper.bend * of_epochs) * (5 / 3) * (1 + _SQRT5 * distances)
    slope *= np.exp(-_SQRT5 * distances)
    gradient = np.concatenate(
        [
            np.tensordot(slope, gaps, 2) / hyper.length_scales**2,
            [(pull * of_bend * epoch_gaps).sum(), (pull * of_level).sum(), (pull * of_bend).sum()],
            [np.trace(pull) * hyper.noise],
        ]
    )
    z = (logs - _as_logs(Hyperparameters.start(gaps.shape[2]))) / _prior_widths(len(logs))
    value = 0.5 * (y @ weights + z @ z) + np.log(np.diag(factor)).sum()
    return float(value), 0.5 * gradient + z / _prior_widths(len(logs))


def _squared_gaps(x: Matrix) -> NDArray[np.float64]:
    gaps: NDArray[np.float64] = (x[:, None] - x) ** 2
    return gaps


def _matern(distances: Matrix) -> Matrix:
    scaled = _SQRT5 * distances
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


def squared_distances(a: Matrix, b: Matrix) -> Matrix:
    """Of the rows [n, d] from the rows [m, d]: [n, m]."""
    squares: Matrix = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.maximum(squares, 0.0)


def _as_logs(hyper: Hyperparameters) -> Vector:
    return np.log([*hyper.length_scales, hyper.epoch_scale, hyper.level, hyper.bend, hyper.noise])


def _from_logs(logs: Vector) -> Hyperparameters:
    values = np.exp(logs)
    epoch_scale, level, bend, noise = map(float, values[-4:])
    return Hyperparameters(length_scales=values[:-4], epoch_scale=epoch_scale, level=level, bend=bend, noise=noise)


def _prior_widths(num: int) -> Vector:
    return np.array([_SCALE_WIDTH] * (num - 4) + list(_PRIOR_WIDTHS))
