"""Where to measure next: the expected improvement, and its maximum over a cube."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from hpo.search.cube import Points

Vector = NDArray[np.float64]

NUM_RANDOM = 600
"""Candidates drawn from the whole cube."""
NUM_NEAR = 60
"""Candidates near each of the best known points, at each distance."""
DISTANCES = (0.2, 0.05)
"""Standard deviations of the steps away from a known point; each coordinate is stepped with probability 1/2."""
NUM_KEPT, NUM_STEPS = 5, 30
"""Of the best candidates so many are refined, by so many steps each in every round."""
ROUNDS = (0.1, 0.05, 0.025)
"""Standard deviations of the steps of refinement."""


def log_expected_improvement(mean: Vector, std: Vector, best: float) -> Vector:
    """log E max(0, f - best) for f ~ N(mean, std^2), also where it is tiny (Ament et al. 2023, "LogEI")."""
    z = (mean - best) / std
    density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    near = z > -1
    out = np.empty_like(z)
    out[near] = np.log(np.exp(density[near]) + z[near] * ndtr(z[near]))
    far = z[~near]
    # phi(z) + z Phi(z) = phi(z) (1 - |z| Phi(z) / phi(z)), and the ratio tends to 1 / |z|
    ratio = np.log(-far) + log_ndtr(far) - density[~near]
    out[~near] = density[~near] + np.where(far > -1e3, np.log1p(-np.exp(np.minimum(ratio, -1e-12))), -2 * np.log(-far))
    return out + np.log(std)


def maximize(gain: Callable[[Points], Vector], near: Points, rng: np.random.Generator) -> Vector:
    """The best point found [D].

    Args:
        gain: of points [n, D] of the cube.
        near: known good points [k, D], k >= 1, near which to look as well.
        rng: draws the candidates.
    """
    num_axes = near.shape[1]
    clouds = [_cloud(near, NUM_NEAR, distance, rng) for distance in DISTANCES]
    points = np.vstack([rng.random((NUM_RANDOM, num_axes)), *clouds])
    gains = gain(points)
    for distance in ROUNDS:
        top = np.argsort(-gains, kind="stable")[:NUM_KEPT]
        fresh = _cloud(points[top], NUM_STEPS, distance, rng)
        points, gains = np.vstack([points[top], fresh]), np.concatenate([gains[top], gain(fresh)])
    best: Vector = points[int(np.argmax(gains))]
    return best


def _cloud(centres: Points, num: int, distance: float, rng: np.random.Generator) -> Points:
    repeated = np.repeat(centres, num, axis=0)
    steps = rng.normal(0, distance, repeated.shape) * (rng.random(repeated.shape) < 0.5)
    return np.clip(repeated + steps, 0, 1)
