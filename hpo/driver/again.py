"""What must train once more: segments whose code raised, or that went down with their worker."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import final

from hpo.driver.trials import ActiveTrial
from hpo.records import Failure, Segment
from hpo.sweep import Retries

MOST_ALIKE = 3
"""How many trials in a row may fail with the same error before that is taken for the sweep's fault."""
FAILED_ALIKE = "trials failed alike"
"""Why the sweep is ended then."""


@final
class Alike:
    """Counts trials that fail with the same error, one after the other."""

    def __init__(self) -> None:
        self._error: str | None = None
        self._num = 0

    def are_too_many(self, error: str) -> bool:
        """Another one has failed: whether that makes `MOST_ALIKE`."""
        self._num = self._num + 1 if error == self._error else 1
        self._error = error
        return self._num >= MOST_ALIKE

    def clear(self) -> None:
        """A trial has come to something else."""
        self._error, self._num = None, 0


@final
class Again:
    """Parts of segments that wait to be handed out again."""

    def __init__(self, retries: Retries, segment_ids: Iterator[int]) -> None:
        """Every part has an id of its own."""
        self._retries = retries
        self._segment_ids = segment_ids
        self._segments: list[Segment] = []

    def next(self) -> Segment | None:
        """The first; none if none waits."""
        return self._segments.pop(0) if self._segments else None

    def add(self, segment: Segment) -> None:
        """One that went down with its driver."""
        self._segments.append(segment)

    def clear(self) -> None:
        """Nobody waits any more."""
        self._segments.clear()

    def after_error(self, segment: Segment, trial: ActiveTrial) -> bool:
        """Whether a trial whose code raised in `segment` is tried again."""
        trial.num_errors += 1
        if trial.num_errors > self._retries.error:
            return False
        self._put(segment, [trial])
        return True

    def after_loss(self, segment: Segment, lost: Sequence[ActiveTrial], why: str | None) -> Failure | None:
        """Try again what went down with its worker: in two halves, to part the one that kills from the others.

        Returns:
            Of a trial that has lost its worker too often: it is not tried again.
        """
        if len(lost) == 1:
            trial, most = lost[0], self._retries.worker_lost
            trial.num_lost += 1
            if most != "unlimited" and trial.num_lost > most:
                error = f"lost its worker {trial.num_lost} times in a row, with nothing new reported: {why}"
                return Failure(trial_id=trial.spec.trial_id, error=error, traceback=error)
        half = math.ceil(len(lost) / 2)
        for part in (lost[:half], lost[half:]):
            if part:
                self._put(segment, part)
        return None

    def after_hang(self, segment: Segment, lost: Sequence[ActiveTrial], hung: Collection[int]) -> None:
        """Try again what went down with a worker that hung: who was training then each alone, the others together."""
        others = [trial for trial in lost if trial.spec.trial_id not in hung]
        alone = [[trial] for trial in lost if trial.spec.trial_id in hung]
        for part in (others, *alone):
            if part:
                self._put(segment, part)

    def _put(self, segment: Segment, trials: Sequence[ActiveTrial]) -> None:
        specs = tuple(trial.spec for trial in trials)
        attempt, segment_id = segment.attempt + 1, next(self._segment_ids)
        self._segments.append(replace(segment, segment_id=segment_id, cohort=specs, attempt=attempt))
