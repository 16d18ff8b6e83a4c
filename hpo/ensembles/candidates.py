"""Which members can be picked at all."""

import numpy as np
from numpy.typing import NDArray

from hpo.ensembles.arrays import Array
from hpo.errors import EnsembleError

NUM_CONSIDERED = 50
"""Members of lowest NLL from which is selected: more cost more, and give luck more to choose from."""


def usable(own: Array) -> NDArray[np.intp]:
    """Members whose log-probabilities [M, n] of what is true are all finite.

    Raises:
        EnsembleError: if there are none.
    """
    found = np.flatnonzero(np.isfinite(own).all(1))
    if not found.size:
        raise EnsembleError(
            f"An ensemble needs a member whose predictions are finite and never rule out what is true, but of "
            f"{len(own)} there is none. Wait for trials that have not diverged."
        )
    return found


def best_first(own: Array, size: int) -> list[int]:
    """Of the usable ones the `size` of lowest NLL; equals in their order.

    Raises:
        EnsembleError: if there are none, or `size` is below 1.
    """
    if size < 1:
        raise EnsembleError(f"An ensemble must have at least 1 member, but its size is to be {size}.")
    members = usable(own)
    order = np.argsort(-own[members].mean(1), kind="stable")
    return [int(member) for member in members[order[:size]]]
