"""How the trials of a sweep stand, kept up as they change: nobody has to look at all of them again and again."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import final

from hpo.records import Goal, TrialRecord
from hpo.results.table import find_best, rank


@final
class Standings:
    """Who leads, and how many trials have ended in which way."""

    def __init__(self, goal: Goal, trials: Callable[[], Sequence[TrialRecord]]) -> None:
        """`trials`: all there are; asked for now, and when who leads falls back."""
        self._goal = goal
        self._trials = trials
        self.best = find_best(trials(), goal)
        """See `find_best`."""
        self.ends = Counter(trial.end.kind for trial in trials() if trial.end is not None)

    def see(self, trial: TrialRecord) -> None:
        """A trial was measured, or has ended, of which it must be told once."""
        if trial.end is not None:
            self.ends[trial.end.kind] += 1
        if self.best is None:
            self.best = find_best([trial], self._goal)
        elif rank([trial, self.best], self._goal)[0] is trial:
            self.best = trial
        elif trial.trial_id == self.best.trial_id:
            self.best = find_best(self._trials(), self._goal)
