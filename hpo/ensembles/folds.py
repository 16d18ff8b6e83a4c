"""Examples dealt out fairly."""

import numpy as np
from numpy.typing import NDArray

from hpo.ensembles.arrays import Labels
from hpo.errors import EnsembleError


def stratified_folds(labels: Labels, num_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each example [n], from 0: sizes differ by one at most, and so do those of each class.

    Raises:
        EnsembleError: if there are fewer than 2 folds, or fewer examples than folds.
    """
    if not 2 <= num_folds <= len(labels):
        raise EnsembleError(
            f"Folds must be at least 2, and hold an example each, but {len(labels)} examples are to be in {num_folds}."
        )
    folds = np.empty(len(labels), np.int64)
    folds[_dealt(labels, seed)] = np.arange(len(labels)) % num_folds
    return folds


def stratified_part(labels: Labels, share: float, seed: int) -> NDArray[np.bool_]:
    """Which examples [n] are in a part of this share, rounded down; of no class is it off by one example or more."""
    steps = np.floor(np.arange(len(labels) + 1) * share)
    part = np.empty(len(labels), np.bool_)
    part[_dealt(labels, seed)] = np.diff(steps) > 0
    return part


def _dealt(labels: Labels, seed: int) -> NDArray[np.intp]:
    """Class after class, in random order within each."""
    order = np.random.default_rng(seed).permutation(len(labels))
    dealt: NDArray[np.intp] = order[np.argsort(labels[order], kind="stable")]
    return dealt
