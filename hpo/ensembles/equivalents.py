"""How many independent networks an ensemble is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from hpo.ensembles.arrays import Labels, LogProbs
from hpo.ensembles.calibration import calibrated_nll
from hpo.ensembles.pooling import pool

NUM_SUBSETS = 5
"""Of each size at most, over which the curve is a mean."""


@dataclass(frozen=True, kw_only=True)
class Equivalent:
    """The deep-ensemble equivalent of a predictor (Ashukha et al. 2020, section 4)."""

    num_networks: float
    """Of the smallest deep ensemble, interpolated between sizes, that is as good; at least 1."""
    is_beyond: bool
    """Whether none of those that could be formed is as good, so that it is worth more."""


def deep_curve(log_probs: LogProbs, labels: Labels, seed: int) -> tuple[float, ...] | None:
    """The calibrated NLL of ensembles of 1, 2, ... of S networks [S, n, C] that differ by luck alone, in nats.

    Means over subsets, all with the same weight; none where one rules out what is true.
    """
    generator = np.random.default_rng(seed)
    curve = []
    for size in range(1, len(log_probs) + 1):
        subsets = list(combinations(range(len(log_probs)), size))
        drawn = generator.permutation(len(subsets))[:NUM_SUBSETS]
        each = [
            calibrated_nll(pool(log_probs[list(subsets[row])], np.full(size, 1 / size)), labels, seed) for row in drawn
        ]
        nlls = [nll for nll in each if nll is not None]
        if len(nlls) < len(each):
            return None
        curve.append(float(np.mean(nlls)))
    return tuple(curve)


def equivalent(nll: float, curve: Sequence[float]) -> Equivalent:
    """Of a predictor of this calibrated NLL, by the `deep_curve` of the same examples."""
    if nll >= curve[0]:
        return Equivalent(num_networks=1.0, is_beyond=False)
    for size, (before, after) in enumerate(pairwise(curve), start=1):
        if after <= nll:
            return Equivalent(num_networks=size + (before - nll) / (before - after), is_beyond=False)
    return Equivalent(num_networks=float(len(curve)), is_beyond=True)
