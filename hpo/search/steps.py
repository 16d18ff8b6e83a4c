"""The neighbours of a point of the cube, as far away as coordinate descent steps."""

import math
from typing import final

import numpy as np
from numpy.typing import NDArray

from hpo.search.cube import Cube, Points

Vector = NDArray[np.float64]

LINEAR = 0.25
"""First step along a param that is not spread over a logarithm, as a share of its range."""
NUM_SIZES = 3
"""Sizes of steps, each half of the one before: a factor of 2, its square root, and the root of that."""


@final
class Steps:
    """Along params on a log scale by a factor, along other numbers by a share of the range, both ways.

    A step beyond the range goes to its end, and one between two values to the nearer, but not to none. A choice without
    order steps to every other value.
    """

    def __init__(self, cube: Cube, factor: float) -> None:
        """`factor` is the first, of params on a log scale."""
        self._cube = cube
        self._shares = [LINEAR if span is None else math.log(factor) / span for span in cube.log_spans]

    def neighbours(self, point: Vector, size: int) -> Points:
        """One axis away, for each axis in turn [n, D]; fewer at the ends of ranges, and none that is not allowed.

        Args:
            point: where to step from [D].
            size: from 0, the largest steps, to `NUM_SIZES` - 1.
        """
        rows = [
            np.where(np.arange(len(point)) == axis, place, point)
            for axis, here in enumerate(point.tolist())
            for place in self._places(here, axis, size)
        ]
        settled = self._cube.settled(self._cube.snapped(np.array(rows).reshape(-1, len(point))))
        return settled.points[settled.allowed]

    def draw(self, point: Vector, size: int, rng: np.random.Generator) -> Vector:
        """A step along any number of axes at once [D]: each stays, or goes to one of its neighbours."""
        options = [[here, *self._places(here, axis, size)] for axis, here in enumerate(point.tolist())]
        drawn = np.array([[places[rng.integers(len(places))] for places in options]])
        step: Vector = self._cube.snapped(drawn)[0]
        return step

    def _places(self, here: float, axis: int, size: int) -> list[float]:
        """Where on `axis` the neighbours of `here` lie."""
        num_cells, share = self._cube.num_cells[axis], self._shares[axis] / 2**size
        if num_cells is None:
            return [place for place in (max(here - share, 0.0), min(here + share, 1.0)) if place != here]
        cell = int(here * num_cells)
        if self._cube.are_ordered[axis]:
            step = max(1, round(share * (num_cells - 1)))
            cells = [max(cell - step, 0), min(cell + step, num_cells - 1)]
        else:
            cells = list(range(num_cells))
        return [(other + 0.5) / num_cells for other in cells if other != cell]
