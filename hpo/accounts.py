"""What a sweep has spent, and what it has got for it."""

import statistics
from collections import deque
from collections.abc import Callable, Mapping
from typing import final

from hpo.progress import Progress
from hpo.records import End, EndKind, Goal, Report
from hpo.scheduling import Budget
from hpo.scheduling.budget import Spent, exhausted
from hpo.standings import Standings

NUM_REMEMBERED = 32
"""Reports by which the time of an epoch is judged."""


@final
class Accounts:
    """Kept by the driver; time starts when they are opened."""

    def __init__(self, budget: Budget, goal: Goal, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._goal = goal
        self._clock = clock
        self._started = clock()
        self._num_program_epochs = 0.0  # an epoch of several lanes counts once
        self._best: float | None = None  # of the trials that are complete
        self._epoch_seconds: deque[float] = deque(maxlen=NUM_REMEMBERED)
        self.num_epochs = 0
        """Over all trials."""
        self.num_spared = 0
        """Epochs that early stopping has saved."""

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return self._clock() - self._started

    @property
    def seconds_per_epoch(self) -> float | None:
        """Of one trial, the median of the last ones; none before the first report."""
        return statistics.median(self._epoch_seconds) if self._epoch_seconds else None

    @property
    def mean_lanes(self) -> float:
        """Trials that trained side by side, on average."""
        return self.num_epochs / self._num_program_epochs if self.num_epochs else 1.0

    def pay(self, report: Report) -> None:
        """For an epoch of a trial."""
        self.num_epochs += 1
        self._num_program_epochs += 1 / report.metrics.get("lanes", 1)
        self._epoch_seconds.append(report.metrics["seconds"])

    def credit(self, end: End) -> None:
        """A trial has come to something."""
        if end.kind is EndKind.COMPLETE and end.value is not None:
            better = self._best is None or self._goal.is_better(end.value, self._best)
            self._best = end.value if better else self._best

    def progress(
        self,
        standings: Standings,
        *,
        rungs: Mapping[int, int],
        num_trials: int,
        num_planned: int,
        num_epochs_planned: float,
        num_running: int,
        num_ready: int,
    ) -> Progress:
        """How the sweep stands, by the accounts and by what the driver has to say."""
        left = max(0.0, num_epochs_planned - self.num_spared - self.num_epochs)
        return Progress(
            num_trials=num_trials,
            num_planned=num_planned,
            num_running=num_running,
            num_ready=num_ready,
            ends=standings.ends.copy(),
            rungs=rungs,
            best=standings.best,
            num_epochs=self.num_epochs,
            mean_lanes=self.mean_lanes,
            elapsed_s=self.elapsed_s,
            remaining_s=self.elapsed_s * left / self.num_epochs if any(rungs.values()) else None,
        )

    def exhausted(self, num_due: int) -> str | None:
        """Which limit ends the sweep, in words; none while it may go on.

        Args:
            num_due: epochs that running segments have yet to report.
        """
        spent = Spent(epochs=self.num_epochs + num_due, minutes=self.elapsed_s / 60, best=self._best)
        return exhausted(self._budget, spent, self._goal)
