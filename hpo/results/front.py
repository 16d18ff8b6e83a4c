"""What no other beats in everything at once."""

import numpy as np
from numpy.typing import NDArray


def pareto_front(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows [n] of costs [n, k] no other dominates: costs at most as much everywhere, and less somewhere.

    Equal rows do not dominate each other.
    """
    dominated = (((costs <= row).all(1) & (costs < row).any(1)).any() for row in costs)
    return ~np.fromiter(dominated, np.bool_, len(costs))
