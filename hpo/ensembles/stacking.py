"""Weights that are fitted all at once."""

import math

import numpy as np
from scipy.special import logsumexp

from hpo.ensembles.arrays import Array, Labels, LogProbs, of_labels
from hpo.ensembles.candidates import best_first
from hpo.ensembles.selection import Selection, without_crumbs
from hpo.errors import EnsembleError

_TINY = 1e-9
"""The least weight on the way, where the slope of the entropy is still a number."""


def stack(log_probs: LogProbs, labels: Labels, size: int, entropy: float = 0.01) -> Selection:
    """The weights of lowest NLL - `entropy` * entropy of the weights, of the `size` members of lowest NLL.

    Convex in weights on the simplex. The second term, in nats as the first, draws towards equal weights: without it
    stacking overfits a small split.

    Args:
        log_probs: [M, n, C].
        labels: [n].
        size: members that are weighed, at most.
        entropy: at least 0.

    Raises:
        EnsembleError: if no member can be picked, or labels and predictions do not belong together.
    """
    if not 0 <= entropy < math.inf:
        raise EnsembleError(f"The factor of the entropy must be at least 0 and finite, but is {entropy}.")
    own = of_labels(log_probs, labels)
    members = best_first(own, size)
    weights = np.zeros(len(own))
    weights[members] = _fitted(own[members], entropy)
    return Selection(weights=without_crumbs(weights), path=())


def _fitted(own: Array, entropy: float) -> Array:
    """Of log-probabilities [M, n] of what is true."""

    def cost(weights: Array) -> tuple[float, Array]:
        logs = np.log(weights)
        pooled = logsumexp(own + logs[:, np.newaxis], axis=0)
        slopes = -np.exp(own - pooled).mean(1) + entropy * (logs + 1)
        return float(-pooled.mean() + entropy * (weights * logs).sum()), slopes

    num = len(own)
    from scipy.optimize import minimize  # noqa: PLC0415 - takes a while, and most commands stack nothing

    found = minimize(
        cost,
        np.full(num, 1 / num),
        jac=True,
        method="SLSQP",
        bounds=[(_TINY, 1)] * num,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    if not found.success:
        raise EnsembleError(f"Stacked weights could not be fitted ({found.message}). Take greedy or top instead.")
    weights: Array = found.x / found.x.sum()
    return weights
