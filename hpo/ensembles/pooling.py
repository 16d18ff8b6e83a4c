"""How members speak with one voice."""

import math

import numpy as np

from hpo.ensembles.arrays import Array, LogProbs, normalized
from hpo.errors import EnsembleError


def pool(log_probs: LogProbs, weights: Array) -> Array:
    """The log of the weighted mean of probabilities (the linear opinion pool), [n, C] in nats.

    Args:
        log_probs: [M, n, C]; what members of weight 0 predict is never looked at.
        weights: [M], on the simplex.

    Raises:
        EnsembleError: if weights are not, or a member with a weight predicts what is no probability.
    """
    if weights.shape != (len(log_probs),) or not (weights >= 0).all() or not math.isclose(weights.sum(), 1):
        raise EnsembleError(
            f"Weights must be at least 0 and sum to 1, one for each of {len(log_probs)} members, but are "
            f"{weights.tolist()}. Divide them by their sum."
        )
    pooled = np.full(log_probs.shape[1:], -np.inf)
    for member in np.flatnonzero(weights):
        own = normalized(log_probs[member])
        if np.isnan(own).any():
            raise EnsembleError(
                f"Members must predict log-probabilities, but member {member} has a row that is not finite. Leave it "
                "out: selection gives it weight 0."
            )
        pooled = np.logaddexp(pooled, own + math.log(weights[member]))
    return pooled


def tempered(log_probs: LogProbs, temperature: float) -> Array:
    """Probabilities [..., n, C] to the power 1 / temperature, normalized: below 1 sharper, above 1 flatter.

    Temperature scaling (Guo et al. 2017), on log-probabilities instead of logits, which is the same.

    Raises:
        EnsembleError: if the temperature is not above 0 and finite.
    """
    if not 0 < temperature < math.inf:
        raise EnsembleError(f"A temperature must be above 0 and finite, but is {temperature}. 1 changes nothing.")
    return normalized(normalized(log_probs) / temperature)
