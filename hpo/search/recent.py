"""A search that is shown only the latest trials and the best of those before, so that a proposal's cost is bounded."""

import heapq
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import final

from optuna.study import StudyDirection

from hpo.records import End, EndKind
from hpo.search.distributions import Stored
from hpo.search.proposer import Problem, Proposer

BLOCK = 1000
"""Trials that are let go of at once; as many are remembered at least."""
NUM_BEST = 25
"""Of those let go of that are shown all the same: as many as TPE ever takes for good ones."""


@dataclass
class _Trial:
    """All that a search is shown of a trial."""

    params: Mapping[str, Stored] | None
    """None for one that nothing is known of."""
    end: tuple[Mapping[int, float], End] | None = None


@final
class Recent:
    """Shows another search the last trials, 1000 to 1999 of them, the best 25 before these, and any that still run.

    TPE weighs the older of its poor trials down, to almost nothing for the oldest (linear forgetting, Bergstra et al.
    2013), and computes with all of them for every proposal. Up to 1999 trials nothing is let go of. What is shown is a
    function of the trials alone, whatever became of them when: a study loaded again proposes what it would have.
    """

    def __init__(
        self, problem: Problem, begin: Callable[[int], Proposer], block: int = BLOCK, num_best: int = NUM_BEST
    ) -> None:
        """A search without trials.

        Args:
            problem: what is searched, by a single metric.
            begin: the other search, where so many trials are not shown to it.
            block: see `BLOCK`.
            num_best: see `NUM_BEST`.
        """
        self._problem = problem
        self._begin = begin
        self._block = block
        self._num_best = num_best
        self._trials: list[_Trial] = []
        self._first = 0  # of the latest
        self._inner = begin(0)
        self._places: dict[int, int] | None = {}  # trial_id -> its number there; none: it has to be shown anew

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """See `Proposer`."""
        places = self._shown()
        params = self._inner.propose(point, [places[trial_id] for trial_id in waiting if trial_id in places])
        self._remember(_Trial(params))
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        """See `Proposer`."""
        self._remember(_Trial(params))
        if self._places is not None:
            self._inner.add(params)

    def skip(self) -> None:
        """See `Proposer`."""
        self._remember(_Trial(None))
        if self._places is not None:
            self._inner.skip()

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """See `Proposer`; a trial's values are shown when it has ended."""

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """See `Proposer`."""
        self._trials[trial_id].end = dict(values), end
        if (place := self._place(trial_id)) is not None:
            self._inner.end(place, values, end)

    def resume(self, trial_id: int) -> None:
        """See `Proposer`."""
        self._trials[trial_id].end = None
        if (place := self._place(trial_id)) is not None:
            self._inner.resume(place)

    def _remember(self, trial: _Trial) -> None:
        if self._places is not None:
            self._places[len(self._trials)] = len(self._places)
        self._trials.append(trial)

    def _place(self, trial_id: int) -> int | None:
        """Where a trial that changes is shown; who changes after it was let go of may be among the best now, or not."""
        if trial_id < self._first:
            self._places = None
        return None if self._places is None else self._places[trial_id]

    def _shown(self) -> dict[int, int]:
        """The places of all who are shown, now as they should be."""
        first = self._block * max(0, len(self._trials) // self._block - 1)
        if self._places is not None and first == self._first:
            return self._places
        kept = [*self._kept_before(first), *range(first, len(self._trials))]
        self._first, self._inner = first, self._begin(len(self._trials) - len(kept))
        self._places = {trial_id: place for place, trial_id in enumerate(kept)}
        for trial_id, place in self._places.items():
            self._show(self._trials[trial_id], place)
        return self._places

    def _kept_before(self, first: int) -> list[int]:
        """The best of those who have ended, and all who have not, in the order of their numbers."""
        before = self._trials[:first]
        ended = [(cost, number) for number, trial in enumerate(before) if (cost := self._cost(trial)) is not None]
        running = [number for number, trial in enumerate(before) if trial.params is not None and trial.end is None]
        return sorted([*running, *(number for _, number in heapq.nsmallest(self._num_best, ended))])

    def _cost(self, trial: _Trial) -> tuple[float, float] | None:
        """As TPE ranks them: complete trials by value, then those that were stopped, the farthest first."""
        values, end = trial.end or ({}, None)
        measured = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
        if end is None or not measured or end.kind not in (EndKind.COMPLETE, EndKind.STOPPED):
            return None
        last = max(measured)
        sign = -1.0 if self._problem.direction is StudyDirection.MAXIMIZE else 1.0
        return (-math.inf if end.kind is EndKind.COMPLETE else -last), sign * measured[last]

    def _show(self, trial: _Trial, place: int) -> None:
        if trial.params is None:
            self._inner.skip()
            return
        self._inner.add(trial.params)
        if trial.end is not None:
            self._inner.end(place, *trial.end)
