"""The driver of one sweep: hands segments out, takes reports in, decides at rungs, tells study and tracker."""

import math
import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpo.errors import TrialsFailedError
from hpo.progress import Progress, Watch
from hpo.records import End, EndKind, Failure, Idle, Report, Segment, SegmentEnd, TrialSpec
from hpo.results.table import find_best
from hpo.scheduling.budget import Spent, exhausted
from hpo.scheduling.halving import Verdict
from hpo.scheduling.packing import Standing, cohort_size, full_cohort, most_in_cohort, remaining_cohort
from hpo.search.study import Study
from hpo.sweep import Terms
from hpo.tracking.tracker import Tracker

MOST_LOST = 3
"""How often a trial alone in its segment may lose its worker before that is taken for the trial's fault."""
WATCH_S = 0.25
"""Time between two looks at the progress."""
MOST_ALIKE = 3
"""How many trials in a row may fail with the same error before that is taken for the sweep's fault."""


@dataclass
class _Trial:
    """What the driver knows of a trial that has not ended."""

    spec: TrialSpec
    last: Report | None = None
    kept: Report | None = None
    """The last report whose state is on disk."""
    num_errors: int = 0
    num_lost: int = 0

    @property
    def epoch(self) -> int:
        return self.last.epoch if self.last else 0

    @property
    def checkpoint(self) -> str | None:
        return self.kept.checkpoint if self.kept else None


class Driver:
    """Composes scheduler, study and tracker; `next_segment`, `on_report` and `on_segment_end` are an executor's."""

    def __init__(
        self,
        sweep: Terms,
        study: Study,
        tracker: Tracker,
        watch: Watch,
        *,
        num_slots: int,
        clock: Callable[[], float],
        discard: Callable[[str], None] = lambda checkpoint: Path(checkpoint).unlink(missing_ok=True),
    ) -> None:
        self._sweep = sweep
        self._study = study
        self._tracker = tracker
        self._watch = watch
        self._num_slots = num_slots
        self._clock = clock
        self._discard = discard  # of checkpoints that nobody needs any more
        self._started = clock()
        self._watched = self._started
        self._rungs = sweep.scheduler.rungs(sweep.epochs)
        self._costs: dict[int, dict[int, float]] = defaultdict(dict)  # by rung and trial, lower is better
        self._trials: dict[int, _Trial] = {}
        self._ready: list[Standing] = []
        self._again: list[Segment] = []
        self._running: dict[int, Segment] = {}
        self._epoch_seconds: deque[float] = deque(maxlen=32)
        self._num_asked = len(study.trials())
        self._num_epochs = 0
        self._num_program_epochs = 0.0  # an epoch of several lanes counts once
        self._num_spared = 0  # epochs, by early stopping
        self._num_segments = 0
        self._best: float | None = None  # of the trials that are complete
        self._errors_alike: Counter[str] = Counter()

    def next_segment(self) -> Segment | Idle:
        """What to train next: what was lost, full cohorts of survivors, new trials, then whoever is left."""
        spent_what = self._exhausted()
        if spent_what is None:
            segment = self._lost_again() or self._survivors(full=True) or self._new() or self._survivors(full=False)
            if segment is not None:
                self._running[segment.segment_id] = segment
                return segment
        if self._running:
            return Idle.WAIT
        if spent_what is not None:
            self.end_waiting(spent_what)
        return Idle.DONE

    def on_report(self, report: Report) -> None:
        """Record what a trial measured; a trial that has diverged, or stops early, ends here."""
        trial = self._trials.get(report.trial_id)
        if trial is None or (report.epoch <= trial.epoch and not report.is_last):
            return  # told before: the segment was lost and has run again
        self._study.record(report)
        self._tracker.log(report)
        self._num_epochs += 1
        self._num_program_epochs += 1 / report.metrics.get("lanes", 1)
        if report.first_bad_step is not None:
            reason = {"first_bad_step": report.first_bad_step}
            self._end(trial, End(kind=EndKind.DIVERGED, epoch=report.epoch, metrics=report.metrics, reason=reason))
            return
        trial.last = report
        self._epoch_seconds.append(report.metrics["seconds"])
        if report.checkpoint is not None:
            outdated, trial.kept = trial.checkpoint, report
            if outdated is not None:
                self._discard(outdated)
        if report.best_epoch is not None:
            self._num_spared += self._rungs[-1] - report.epoch
            self._on_rung(self._rungs[-1], [trial])
        if self._clock() - self._watched >= WATCH_S:
            self._watched = self._clock()
            self._watch(self.progress())

    def on_segment_end(self, end: SegmentEnd) -> None:
        """Decide on every trial of the segment: it goes on, ends here, or has to train this segment again."""
        segment = self._running.pop(end.segment.segment_id)
        for failure in end.failures:
            if failure.trial_id in self._trials:
                self._on_failure(segment, failure)
        failed = {failure.trial_id for failure in end.failures}
        going = self._trials.keys() - failed
        alive = [self._trials[spec.trial_id] for spec in segment.cohort if spec.trial_id in going]
        self._on_rung(segment.to_epoch, [trial for trial in alive if trial.epoch >= segment.to_epoch])
        self._on_lost(segment, [trial for trial in alive if trial.epoch < segment.to_epoch], end.lost)

    @property
    def is_interrupted(self) -> bool:
        """Whether trials are left that have not ended."""
        return bool(self._trials)

    def end_waiting(self, why: str) -> None:
        """End every trial that has not ended, because the sweep does: at its last state on disk."""
        for trial in list(self._trials.values()):
            trial.last = trial.kept
            self._end(trial, self._ended(trial, EndKind.STOPPED, {"sweep_ended": why}))
        self._ready.clear()
        self._again.clear()

    def progress(self) -> Progress:
        """How the sweep stands."""
        records = self._study.trials()
        elapsed_s = self._clock() - self._started
        planned = self._sweep.scheduler.planned_epochs(self._sweep.budget.trials, self._sweep.epochs)
        left = max(0.0, planned - self._num_spared - self._num_epochs)
        return Progress(
            num_trials=len(records),
            num_planned=self._sweep.budget.trials,
            num_running=sum(len(segment.cohort) for segment in self._running.values()),
            num_ready=len(self._ready),
            ends=Counter(record.end.kind for record in records if record.end is not None),
            rungs={rung: len(self._costs[rung]) for rung in self._rungs},
            best=find_best(records, self._sweep.metric.goal),
            num_epochs=self._num_epochs,
            mean_lanes=self._num_epochs / self._num_program_epochs if self._num_epochs else 1.0,
            elapsed_s=elapsed_s,
            remaining_s=elapsed_s * left / self._num_epochs if self._costs[self._rungs[0]] else None,
        )

    def _exhausted(self) -> str | None:
        minutes = (self._clock() - self._started) / 60
        spent = Spent(epochs=self._num_epochs, minutes=minutes, best=self._best)
        return exhausted(self._sweep.budget, spent, self._sweep.metric.goal)

    def _lost_again(self) -> Segment | None:
        return self._again.pop(0) if self._again else None

    def _survivors(self, *, full: bool) -> Segment | None:
        sizes = {standing.epoch: self._cohort_size(standing.epoch) for standing in self._ready}
        num_idle = self._num_slots - len(self._running)
        cohort = full_cohort(self._ready, sizes) if full else remaining_cohort(self._ready, num_idle)
        if not cohort:
            return None
        self._ready = [standing for standing in self._ready if standing not in cohort]
        return self._segment([self._trials[standing.trial_id] for standing in cohort], cohort[0].epoch)

    def _new(self) -> Segment | None:
        num_left = self._sweep.budget.trials - self._num_asked
        if num_left <= 0:
            return None
        num = min(self._cohort_size(0), math.ceil(num_left / self._num_slots))
        self._num_asked += num
        trials = []
        for record in self._study.ask(num):
            trials.append(_Trial(spec=self._sweep.specify(record)))
            self._trials[record.trial_id] = trials[-1]
            self._tracker.start(record.trial_id, record.params)
        return self._segment(trials, 0)

    def _cohort_size(self, epoch: int) -> int:
        seconds = statistics.median(self._epoch_seconds) if self._epoch_seconds else None
        num_epochs = self._rung_above(epoch) - epoch
        most = most_in_cohort(self._sweep.budget.trials, self._num_slots)
        return cohort_size(num_epochs=num_epochs, seconds_per_epoch=seconds, num_slots=self._num_slots, most=most)

    def _segment(self, trials: Sequence[_Trial], epoch: int) -> Segment:
        self._num_segments += 1
        return Segment(
            segment_id=self._num_segments,
            cohort=tuple(trial.spec for trial in trials),
            from_epoch=epoch,
            to_epoch=self._rung_above(epoch),
            seed=self._sweep.seed,
            checkpoints={trial.spec.trial_id: trial.checkpoint for trial in trials if trial.checkpoint is not None},
        )

    def _rung_above(self, epoch: int) -> int:
        return next(rung for rung in self._rungs if rung > epoch)

    def _on_rung(self, rung: int, arrived: Sequence[_Trial]) -> None:
        """Judge all that have arrived together by the same values."""
        costs = self._costs[rung]
        for trial in arrived:
            costs[trial.spec.trial_id] = self._sweep.metric.goal.as_cost(self._value(trial))
        for trial in arrived:
            verdict = self._sweep.scheduler.decide(costs[trial.spec.trial_id], list(costs.values()))
            if rung == self._rungs[-1]:
                self._end(trial, self._ended(trial, EndKind.COMPLETE, self._restored(trial)))
            elif verdict.continues:
                self._ready.append(Standing(trial_id=trial.spec.trial_id, epoch=rung, signature=trial.spec.signature))
            else:
                self._end(trial, self._ended(trial, EndKind.STOPPED, self._reason(rung, verdict)))

    def _on_failure(self, segment: Segment, failure: Failure) -> None:
        """Train the trial's segment again, as often as the sweep file says; then it has failed."""
        trial = self._trials[failure.trial_id]
        trial.num_errors += 1
        if trial.num_errors <= self._sweep.retries.error:
            self._again.append(self._part(segment, [trial]))
        else:
            self._fail(trial, failure)

    def _on_lost(self, segment: Segment, lost: Sequence[_Trial], why: str | None) -> None:
        """Train again what went down with its worker: in two halves, to part the one that kills from the others."""
        if len(lost) == 1:
            trial = lost[0]
            trial.num_lost += 1
            if trial.num_lost >= MOST_LOST:
                error = f"lost its worker {MOST_LOST} times: {why}"
                self._fail(trial, Failure(trial_id=trial.spec.trial_id, error=error, traceback=error))
                return
        half = math.ceil(len(lost) / 2)
        self._again += [self._part(segment, part) for part in (lost[:half], lost[half:]) if part]

    def _fail(self, trial: _Trial, failure: Failure) -> None:
        """End a trial for good, and the sweep too where trial after trial fails alike."""
        reason = {"error": failure.error, "traceback": failure.traceback}
        self._end(trial, End(kind=EndKind.FAILED, epoch=trial.epoch, reason=reason))
        self._errors_alike = Counter({failure.error: self._errors_alike[failure.error] + 1})
        if self._errors_alike[failure.error] >= MOST_ALIKE:
            self.end_waiting("trials failed alike")
            raise TrialsFailedError(f"{MOST_ALIKE} trials in a row failed with the same error:\n{failure.traceback}")

    def _part(self, segment: Segment, trials: Sequence[_Trial]) -> Segment:
        """The same segment for some of its trials, once more."""
        self._num_segments += 1
        specs = tuple(trial.spec for trial in trials)
        return replace(segment, segment_id=self._num_segments, cohort=specs, attempt=segment.attempt + 1)

    def _ended(self, trial: _Trial, kind: EndKind, reason: dict[str, float | int | str]) -> End:
        if trial.last is None:
            return End(kind=kind, epoch=0, reason=reason)
        return End(kind=kind, epoch=trial.epoch, value=self._value(trial), metrics=trial.last.metrics, reason=reason)

    def _value(self, trial: _Trial) -> float:
        assert trial.last is not None
        return trial.last.metrics[self._sweep.metric.name]

    def _reason(self, rung: int, verdict: Verdict) -> dict[str, float | int | str]:
        cutoff = self._sweep.metric.goal.as_cost(verdict.cutoff)  # its own inverse
        return {"rung": rung, "cutoff": cutoff, "rank": verdict.rank, "num_seen": verdict.num_seen}

    def _restored(self, trial: _Trial) -> dict[str, float | int | str]:
        """Where early stopping took the trial back to, if it did."""
        if trial.last is None or trial.last.best_epoch is None:
            return {}
        early: dict[str, float | int | str] = {"early_stopped": trial.epoch} if trial.epoch < self._rungs[-1] else {}
        return early | {"best_epoch": trial.last.best_epoch}

    def _end(self, trial: _Trial, end: End) -> None:
        self._study.tell(trial.spec.trial_id, end)
        self._tracker.end(trial.spec.trial_id, end)
        del self._trials[trial.spec.trial_id]
        if end.kind is EndKind.COMPLETE and end.value is not None:
            better = self._best is None or self._sweep.metric.goal.is_better(end.value, self._best)
            self._best = end.value if better else self._best
        if end.kind is not EndKind.FAILED:
            self._errors_alike.clear()
