"""The line: trials that wait at rungs, and every value that was seen there."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import final

from hpo.scheduling import Median, Scheduler
from hpo.scheduling.halving import Verdict
from hpo.scheduling.median import average
from hpo.scheduling.packing import Standing, full_cohort, remaining_cohort


@final
class Line:
    """Judges by its scheduler, and hands out cohorts."""

    def __init__(self, scheduler: Scheduler, max_epochs: int) -> None:
        self._scheduler = scheduler
        self._rungs = scheduler.rungs(max_epochs)
        self._costs: dict[int, dict[int, float]] = defaultdict(dict)
        self._waiting: list[Standing] = []

    @property
    def waiting(self) -> dict[int, int]:
        """trial_id -> the rung at which it waits, in order of arrival."""
        return {standing.trial_id: standing.epoch for standing in self._waiting}

    @property
    def costs(self) -> Mapping[int, Mapping[int, float]]:
        """Rung -> trial_id -> cost, of every trial that has been there; its average, where that is compared."""
        return self._costs

    @property
    def num_at_rungs(self) -> dict[int, int]:
        """How many trials have come to each rung; one that was lost on the way counts among its costs alone."""
        return {rung: sum(map(math.isfinite, self._costs[rung].values())) for rung in self._rungs}

    def rung_above(self, epoch: int) -> int:
        """The next one after `epoch`."""
        return next(rung for rung in self._rungs if rung > epoch)

    def judge(self, rung: int, courses: Mapping[int, Sequence[float]]) -> dict[int, Verdict]:
        """Of trials that have arrived together, by the same values: their own among all that were seen.

        Args:
            rung: at which they stand.
            courses: trial_id -> its costs at every epoch so far, lower is better.
        """
        scheduler, seen = self._scheduler, self._costs[rung]
        if isinstance(scheduler, Median):
            seen |= {trial_id: average(course) for trial_id, course in courses.items()}
            return {
                trial_id: scheduler.decide(course, [cost for other, cost in seen.items() if other != trial_id])
                for trial_id, course in courses.items()
            }
        seen |= {trial_id: course[-1] for trial_id, course in courses.items()}
        costs = list(seen.values())
        return {trial_id: scheduler.decide(course[-1], costs) for trial_id, course in courses.items()}

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

    def _taken(self, cohort: list[Standing]) -> list[Standing]:
        self._waiting = [standing for standing in self._waiting if standing not in cohort]
        return cohort
