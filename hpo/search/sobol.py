"""Points spread evenly over the space: a scrambled Sobol sequence."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from hpo.search.seeds import derive_seed


def sobol_point(num_axes: int, number: int, seed: int) -> NDArray[np.float64]:
    """Point `number` of the sequence in the unit cube [num_axes] (Sobol 1967; scrambled: Owen 1998)."""
    sequence = qmc.Sobol(num_axes, rng=derive_seed(seed, 0))
    if number > 0:
        sequence.fast_forward(number)
    point: NDArray[np.float64] = sequence.random(1)[0]
    return point
