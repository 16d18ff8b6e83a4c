"""Every combination of the values of a space, once."""

import itertools
from collections.abc import Collection, Mapping
from typing import final

import numpy as np

from hpo.errors import StudyError
from hpo.records import End
from hpo.search.cube import Cube
from hpo.search.distributions import Stored
from hpo.search.proposer import Problem
from hpo.search.seeds import derive_seed
from hpo.search.starting import completed


def allowed_cells(cube: Cube) -> list[tuple[float, ...]]:
    """The middle of every cell of a cube that may be tried, once for all that make the same trial."""
    middles = [[(cell + 0.5) / num for cell in range(num)] for num in map(_known, cube.num_cells)]
    settled = cube.settled(np.array(list(itertools.product(*middles))))
    return [tuple(cell) for cell in np.unique(settled.points[settled.allowed], axis=0).tolist()]


@final
class GridSearch:
    """Proposes what has not been tried yet, in an order that is shuffled by the seed.

    A sweep that ends early has so seen all of the grid thinly, not one edge of it. What a point has tried is not tried
    again.
    """

    def __init__(self, problem: Problem) -> None:
        """The domains are listed: choices, whole numbers and steps."""
        self._problem = problem
        self._cube = problem.cube
        self._number = 0
        cells = allowed_cells(self._cube)
        order = np.random.default_rng(derive_seed(problem.seed, 0)).permutation(len(cells))
        self._num_cells = len(cells)
        self._left = dict.fromkeys(cells[number] for number in order)

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """See `Proposer`; a point of which every combination was tried is tried again.

        Raises:
            StudyError: if nothing is left.
        """
        if not self._left:
            raise StudyError(
                f"all {self._num_cells} combinations of the grid have been proposed. Lower budget.trials, "
                "or widen the space."
            )
        chosen = next((cell for cell in self._left if self._cell(self._params(cell, point)) == cell), None)
        params = completed(self._problem, np.array(chosen or next(iter(self._left))), point, self._number)
        self.add(params)
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs."""
        self._number += 1
        self._left.pop(self._cell(params), None)

    def skip(self) -> None:
        """See `Proposer`; what that trial would have tried is still left."""
        self._number += 1

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """See `Proposer`; a grid learns nothing."""

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """See `Proposer`; a grid learns nothing."""

    def resume(self, trial_id: int) -> None:
        """See `Proposer`; a grid learns nothing."""

    def _params(self, cell: tuple[float, ...], point: Mapping[str, Stored]) -> dict[str, Stored]:
        return self._cube.params(np.array(cell), point)

    def _cell(self, params: Mapping[str, Stored]) -> tuple[float, ...]:
        return tuple(self._cube.point(params).tolist())


def _known(num_cells: int | None) -> int:
    assert num_cells is not None  # the sweep's rules have seen to it
    return num_cells
