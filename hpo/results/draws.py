"""Where the true means of finalists may lie, drawn for all of them at once, so that what they share cancels."""

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NUM_DRAWS = 100_000
"""By which a probability is estimated: to about 0.002."""
NUM_RESAMPLES = 2000
"""Of the examples; each serves several draws of the luck of training."""


def draw_means(costs: Array, examples: Array | None = None) -> Array:
    """Means [k, `NUM_DRAWS`] as they would be with other luck in training and, if `examples` is there, other examples.

    Luck of training: the posterior of a normal mean under the usual flat prior, so that every difference of two follows
    Student's t about the one measured, with the standard error of their paired differences (Gelman et al. 2013, section
    3.2). Resampling three seeds would give intervals far too narrow. Luck of the examples: their bootstrap
    (Efron 1979), the same examples for all.

    Args:
        costs: [k finalists, n seeds], n at least 2, all finite; those of one seed are paired.
        examples: [k, e], the cost of each validation example, on average over seeds.
    """
    generator = np.random.default_rng(0)
    num = costs.shape[1]
    means = costs.mean(axis=1, keepdims=True)
    noise = generator.standard_normal((num, NUM_DRAWS))
    spread = sum(
        luck[:, np.newaxis] * own for luck, own in zip((costs - means).T, noise, strict=True)
    )  # equals stay so
    chi = np.sqrt(generator.chisquare(num - 1, NUM_DRAWS) / (num - 1))
    drawn: Array = means + spread / chi / math.sqrt(num * (num - 1))
    if examples is not None:
        drawn += np.repeat(_shifts(examples, generator), NUM_DRAWS // NUM_RESAMPLES, axis=1)
    return drawn


def shares_least(drawn: Array) -> Array:
    """How often each row of [k, draws] holds the least; ties count in parts."""
    is_least = drawn == drawn.min(axis=0)
    shares: Array = (is_least / is_least.sum(axis=0)).mean(axis=1)
    return shares


def _shifts(examples: Array, generator: np.random.Generator) -> Array:
    """Of means [k, `NUM_RESAMPLES`] over examples drawn with replacement, from those over all."""
    num = examples.shape[1]
    centred = examples - examples.mean(axis=1, keepdims=True)
    counts = (np.bincount(generator.integers(num, size=num), minlength=num) for _ in range(NUM_RESAMPLES))
    return np.stack([(centred * count).mean(axis=1) for count in counts], axis=1)
