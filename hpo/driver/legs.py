"""Legs: cohorts on their way to a rung, the segments that carry them, and the book that tells the next driver."""

import errno
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import final

from hpo.driver.again import Again
from hpo.driver.limits import Limits
from hpo.driver.trials import ActiveTrial
from hpo.records import Failure, Leg, Logbook, Segment, SegmentEnd
from hpo.search.study import Study
from hpo.sweep import Terms


@final
class Legs:
    """Whatever becomes of a cohort's worker, and of its driver, its trials are judged together."""

    def __init__(
        self, sweep: Terms, study: Study, trials: Mapping[int, ActiveTrial], elapsed_s: Callable[[], float]
    ) -> None:
        """Nobody is on the way.

        Args:
            sweep: its terms.
            study: keeps the book.
            trials: those that have not ended, which are the driver's.
            elapsed_s: since the sweep began.
        """
        self._study = study
        self._trials = trials
        self._seed = sweep.seed
        self._elapsed_s = elapsed_s
        self._generation = 0 if study.logbook is None else study.logbook.generation + 1
        self._segment_ids = itertools.count(1)
        self._again = Again(sweep.retries, self._segment_ids)
        self._limits = Limits(sweep.retries)
        self._running: dict[int, Segment] = {}
        self._by_trial: dict[int, Leg] = {}
        self._ended: str | None = None

    @property
    def running(self) -> Sequence[Segment]:
        """What workers have now."""
        return list(self._running.values())

    @property
    def num_due(self) -> int:
        """Epochs that workers, or those who train again for them, have yet to report."""
        out = {leg for leg in self._by_trial.values() if leg.is_out}
        return sum(max(0, leg.to_epoch - trial.epoch) for leg in out for trial in self._left(leg))

    def begin(self, trials: Sequence[ActiveTrial], from_epoch: int, to_epoch: int) -> Segment:
        """A cohort has a leg before it, for which this is the segment."""
        trial_ids = tuple(trial.spec.trial_id for trial in trials)
        return self._segment(Leg(trial_ids=trial_ids, from_epoch=from_epoch, to_epoch=to_epoch), trials)

    def resume(self, leg: Leg) -> Segment | None:
        """A leg that an earlier driver began: the segment for those who have not come to its end, if it waits for one.

        A segment that a worker had is handed out by `again`.
        """
        self._by_trial.update(dict.fromkeys(leg.trial_ids, leg))
        missing = [trial for trial in self._left(leg) if trial.epoch < leg.to_epoch]
        if missing and leg.is_out:
            self._again.add(self._segment(leg, missing))
            return None
        return self._segment(leg, missing) if missing else None

    def again(self) -> Segment | None:
        """A part of a leg that was lost and must train once more."""
        return self._again.next()

    def hand_out(self, segment: Segment) -> None:
        """A worker is about to be given `segment`: the book says so before."""
        self._running[segment.segment_id] = segment
        leg = self._by_trial[segment.cohort[0].trial_id]
        if not leg.is_out:
            self._by_trial.update(dict.fromkeys(leg.trial_ids, replace(leg, is_out=True)))
            self.log()

    def land(self, end: SegmentEnd) -> list[Failure]:
        """A segment is over; what was lost or raised is tried again, but for these.

        Raises:
            OSError: if the disk of its worker is full.
        """
        for failure in end.failures:
            if failure.is_disk_full:
                raise OSError(errno.ENOSPC, failure.error)
        segment = self._running.pop(end.segment.segment_id)
        left = {spec.trial_id: self._trials[spec.trial_id] for spec in segment.cohort if spec.trial_id in self._trials}
        failed = []
        for failure in end.failures:
            trial = left.pop(failure.trial_id, None)
            if trial is not None and not self._again.after_error(segment, trial):
                failed.append(failure)
        lost = [trial for trial in left.values() if trial.epoch < segment.to_epoch]
        if end.hung:
            self._again.after_hang(segment, lost, end.hung)
            return failed
        killer = self._again.after_loss(segment, lost, end.lost)
        return failed if killer is None else [*failed, killer]

    def arrive(self, trial_id: int) -> list[ActiveTrial]:
        """Whoever is left of a trial's cohort, if its leg ends now; nobody while anybody is missing."""
        leg = self._by_trial.get(trial_id)
        if leg is None:  # it has ended, without the trial
            return []
        left = self._left(leg)
        if any(trial.epoch < leg.to_epoch for trial in left):
            return []
        for other in leg.trial_ids:
            del self._by_trial[other]
        return left

    def clear(self, why: str) -> None:
        """Nobody is on the way any more, for the sweep was ended."""
        self._ended = why
        self._by_trial.clear()
        self._again.clear()
        self.log()

    def log(self) -> None:
        """Write the book."""
        legs = tuple(dict.fromkeys(self._by_trial.values()))
        kept = Logbook(generation=self._generation, elapsed_s=self._elapsed_s(), legs=legs, ended=self._ended)
        self._study.log(kept)

    def _segment(self, leg: Leg, trials: Sequence[ActiveTrial]) -> Segment:
        self._by_trial.update(dict.fromkeys(leg.trial_ids, leg))
        return Segment(
            segment_id=next(self._segment_ids),
            cohort=tuple(trial.spec for trial in trials),
            from_epoch=leg.from_epoch,
            to_epoch=leg.to_epoch,
            seed=self._seed,
            checkpoints={trial.spec.trial_id: trial.checkpoint for trial in trials if trial.checkpoint is not None},
            generation=self._generation,
            left_s={
                trial.spec.trial_id: left_s for trial in trials if (left_s := self._limits.left_s(trial)) is not None
            },
        )

    def _left(self, leg: Leg) -> list[ActiveTrial]:
        return [self._trials[trial_id] for trial_id in leg.trial_ids if trial_id in self._trials]
