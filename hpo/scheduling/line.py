"""The line: trials that wait at rungs, and every value that was seen there."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import final

from hpo.scheduling import Asha, Hyperband, Median, Scheduler, is_doubting
from hpo.scheduling.doubt import agreement
from hpo.scheduling.halving import Verdict, best
from hpo.scheduling.median import average
from hpo.scheduling.packing import Standing, full_cohort, remaining_cohort
from hpo.scheduling.ranking import Ranking

Rungs = tuple[int, ...]


@final
class Line:
    """Judges by its scheduler, and hands out cohorts."""

    def __init__(self, scheduler: Scheduler, max_epochs: int) -> None:
        self._scheduler = scheduler
        self._max_epochs = max_epochs
        self._rungs = scheduler.rungs(max_epochs)
        self._costs: dict[Rungs, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        self._rankings: dict[tuple[Rungs, int], Ranking] = defaultdict(Ranking)  # the same, in order
        self._doubts: dict[tuple[Rungs, int], tuple[int, float | None]] = {}
        self._waiting: list[Standing] = []

    @property
    def waiting(self) -> dict[int, int]:
        """trial_id -> the rung at which it waits, in order of arrival."""
        return {standing.trial_id: standing.epoch for standing in self._waiting}

    @property
    def costs(self) -> Mapping[int, Mapping[int, float]]:
        """Rung -> trial_id -> cost, of every trial that has been there, as it is compared."""
        return self._costs[self._rungs]

    @property
    def num_at_rungs(self) -> dict[int, int]:
        """How many trials have come to each rung; one that was lost on the way is there only as a cost."""
        return {
            rung: sum(ranking.num_sound for (_, there), ranking in self._rankings.items() if there == rung)
            for rung in self._rungs
        }

    def ladder(self, trial_id: int) -> Rungs:
        """The rungs of a trial."""
        if isinstance(self._scheduler, Hyperband):
            return self._scheduler.ladder(trial_id, self._max_epochs)
        return self._rungs

    def rung_above(self, epoch: int) -> int:
        """The next one after `epoch`, on every ladder that has it."""
        return next(rung for rung in self._rungs if rung > epoch)

    def judge(self, rung: int, courses: Mapping[int, Sequence[float]]) -> dict[int, Verdict]:
        """Of trials that have arrived together, by the same values: those that their bracket has seen, their own too.

        Args:
            rung: at which they stand.
            courses: trial_id -> its costs at every epoch so far, lower is better.
        """
        for trial_id, course in courses.items():
            self._see(rung, trial_id, self._compared(course))
        return {trial_id: self._verdict(rung, trial_id, course) for trial_id, course in courses.items()}

    def recall(self, rung: int, trial_id: int, cost: float, course: Sequence[float]) -> None:
        """A trial was at `rung` with this course, judged by `cost`; the first time counts."""
        if trial_id not in self._costs[self.ladder(trial_id)][rung]:
            self._see(rung, trial_id, average(course) if isinstance(self._scheduler, Median) else cost)

    def join(self, standing: Standing) -> None:
        """Wait for a cohort."""
        self._waiting.append(standing)

    def take_full(self, sizes: Mapping[int, int]) -> list[Standing]:
        """See `full_cohort`; they leave the line."""
        return self._taken(full_cohort(self._waiting, sizes))

    def take_remaining(self, num_idle: int) -> list[Standing]:
        """See `remaining_cohort`; they leave the line."""
        return self._taken(remaining_cohort(self._waiting, num_idle))

    def take(self, trial_ids: Collection[int]) -> list[Standing]:
        """These leave the line."""
        return self._taken([standing for standing in self._waiting if standing.trial_id in trial_ids])

    def clear(self) -> None:
        """Everybody leaves."""
        self._waiting.clear()

    def _see(self, rung: int, trial_id: int, cost: float) -> None:
        ladder = self.ladder(trial_id)
        seen, ranking = self._costs[ladder][rung], self._rankings[ladder, rung]
        if trial_id in seen:
            ranking.drop(seen[trial_id])
        seen[trial_id] = cost
        ranking.add(cost)

    def _compared(self, course: Sequence[float]) -> float:
        match self._scheduler:
            case Median():
                return average(course)
            case Asha(compare="best") | Hyperband(compare="best"):
                return best(course)
            case _:
                return course[-1]

    def _verdict(self, rung: int, trial_id: int, course: Sequence[float]) -> Verdict:
        ladder = self.ladder(trial_id)
        cost, ranking = self._costs[ladder][rung][trial_id], self._rankings[ladder, rung]
        if isinstance(self._scheduler, Median):
            ranking.drop(cost)
            verdict = self._scheduler.decide(course, ranking)
            ranking.add(cost)
            return verdict
        verdict = self._scheduler.decide(cost, ranking)
        if verdict.continues or not math.isfinite(verdict.cost) or not is_doubting(self._scheduler):
            return verdict
        doubt = self._doubt(rung, ladder)
        return verdict if doubt is None or doubt > 0 else replace(verdict, continues=True, doubt=doubt)

    def _doubt(self, rung: int, ladder: Rungs) -> float | None:
        """See `agreement`; as it was while nobody has come farther since."""
        costs = self._costs[ladder]
        num_farther = sum(len(seen) for later, seen in costs.items() if later > rung)
        known = self._doubts.get((ladder, rung))
        if known is None or known[0] != num_farther:
            known = self._doubts[ladder, rung] = num_farther, agreement(rung, costs)
        return known[1]

    def _taken(self, cohort: list[Standing]) -> list[Standing]:
        taken = {standing.trial_id for standing in cohort}
        self._waiting = [standing for standing in self._waiting if standing.trial_id not in taken]
        return cohort
