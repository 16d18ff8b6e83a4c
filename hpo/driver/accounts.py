"""What a sweep has spent, and what it has got for it."""

import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import final

from hpo.driver.standings import Standings
from hpo.progress import Progress
from hpo.records import End, EndKind, Goal, Report, TrialRecord
from hpo.scheduling import Budget
from hpo.scheduling.budget import Spent, exhausted

NUM_REMEMBERED = 32
"""Reports by which the time of an epoch is judged."""


@final
class Accounts:
    """Kept by the driver; time starts when they are opened."""

    def __init__(self, budget: Budget, goal: Goal, max_epochs: int, clock: Callable[[], float]) -> None:
        self.budget = budget
        """What may be spent."""
        self._max_epochs = max_epochs
        self._goal = goal
        self._clock = clock
        self._started = clock()
        self._num_program_epochs = 0.0  # an epoch of several lanes counts once
        self._best: float | None = None  # of the trials that are complete
        self.kind = 0
        """Of the slot that work is looked for, by number."""
        self._kinds: dict[int, int] = {}  # by trial, where it was last handed out to; 0 are left out
        self._epoch_seconds: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=NUM_REMEMBERED))
        self.num_epochs = 0
        """Over all trials."""
        self.num_spared = 0
        """Epochs that early stopping has saved."""

    @property
    def elapsed_s(self) -> float:
        """Since the start, without the time for which the sweep was left alone."""
        return self._clock() - self._started

    def resume(self, elapsed_s: float, trials: Iterable[TrialRecord]) -> None:
        """Take over what earlier drivers have spent, and got for it."""
        self._started -= elapsed_s
        for trial in trials:
            begun_at = 0 if trial.parent is None else trial.parent.epoch
            kept = trial.kept
            reached = trial.end.epoch if trial.end is not None else begun_at if kept is None else kept.epoch
            self.num_epochs += reached - begun_at
            self._num_program_epochs += (reached - begun_at) / (1 if kept is None else kept.metrics.get("lanes", 1))
            if kept is not None:
                self._epoch_seconds[0].append(kept.metrics["seconds"])
            if trial.end is not None:
                self.credit(trial.end)

    @property
    def seconds_per_epoch(self) -> float | None:
        """Of one trial in a slot of this kind, the median of the last ones; none before the first report."""
        seconds = self._epoch_seconds[self.kind]
        return statistics.median(seconds) if seconds else None

    @property
    def mean_lanes(self) -> float:
        """Trials that trained side by side, on average."""
        return self.num_epochs / self._num_program_epochs if self.num_epochs else 1.0

    def place(self, trial_ids: Iterable[int]) -> None:
        """Trials are handed out to a slot of this kind."""
        for trial_id in trial_ids:
            if self.kind or trial_id in self._kinds:
                self._kinds[trial_id] = self.kind

    def pay(self, report: Report) -> None:
        """For an epoch of a trial."""
        self.num_epochs += 1
        self._num_program_epochs += 1 / report.metrics.get("lanes", 1)
        self._epoch_seconds[self._kinds.get(report.trial_id, 0)].append(report.metrics["seconds"])

    def credit(self, end: End) -> None:
        """A trial has come to something."""
        if end.kind is EndKind.COMPLETE and end.value is not None:
            self.num_spared += self._max_epochs - end.epoch
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
        return exhausted(self.budget, spent, self._goal)
