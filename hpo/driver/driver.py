"""The driver of one sweep: hands segments out, takes reports in, decides at rungs, tells study and tracker."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from hpo.driver.accounts import Accounts
from hpo.driver.again import FAILED_ALIKE, MOST_ALIKE, Alike
from hpo.driver.judge import Judge
from hpo.driver.legs import Legs
from hpo.driver.limits import Limits
from hpo.driver.population import Population
from hpo.driver.resuming import left_behind, open_trials, recall, standing
from hpo.driver.shelf import Shelf
from hpo.driver.standings import Standings
from hpo.driver.trials import ActiveTrial, diverged, stop_reason
from hpo.errors import TrialsFailedError
from hpo.progress import Progress, Seldom, Watch
from hpo.records import Decision, End, EndKind, Failure, Idle, Outcome, Report, Segment, SegmentEnd, TrialRecord
from hpo.scheduling import Asha, Budget, FreezeThaw, Pbt, compares_averages, full_budget
from hpo.scheduling.line import Line
from hpo.scheduling.packing import Standing, cohort_size, most_in_cohort
from hpo.search.study import Study
from hpo.sweep import Terms
from hpo.tracking.tracker import Tracker


class Driver:
    """Composes scheduler, study and tracker; `next_segment`, `on_report` and `on_segment_end` are an executor's."""

    def __init__(
        self,
        sweep: Terms,
        study: Study,
        tracker: Tracker,
        watch: Watch,
        *,
        num_slots: Callable[[], int],  # as of now, at least one
        clock: Callable[[], float],
        shelf: Shelf | None = None,
    ) -> None:
        self._sweep = sweep
        self._study = study
        self._tracker = tracker
        self._watch = Seldom(watch, clock)
        self._num_slots = num_slots
        self._shelf = shelf or Shelf({sweep.metric.name: sweep.metric.goal})
        self._scheduler = sweep.chosen.scheduler
        self._compared = f"ema_{sweep.metric.name}" if compares_averages(self._scheduler) else sweep.metric.name
        self._line = Line(self._scheduler, sweep.epochs)
        self._judge = Judge(sweep, study, self._line)
        self._budget = full_budget(sweep.budget, self._scheduler, sweep.epochs)
        self._accounts = Accounts(self._budget, sweep.metric.goal, sweep.epochs, clock)
        self._trials = open_trials(sweep, study, self._compared)
        self._limits = Limits(sweep.retries)
        self._legs = Legs(sweep, study, self._trials, lambda: self._accounts.elapsed_s)
        self.is_done = False
        """Whether there is nothing more to train."""
        self._population = None
        if isinstance(self._scheduler, Pbt):
            self._population = Population(sweep, study, tracker, self._line, self._judge, self._shelf, self._trials)
        self._ready: list[Segment] = []  # besides what the line holds
        self._standings = Standings(sweep.metric.goal, study.trials)
        self._unbegun: list[TrialRecord] = []  # asked for by an earlier driver, but never handed out
        self._alike = Alike()
        self._resume()
        self._num_asked = sum(each.is_proposed and each not in self._unbegun for each in study.trials())

    def next_segment(self, kind: int = 0) -> Segment | Idle:
        """What to train next in a slot of this kind: what was lost, full cohorts of survivors, new trials, the rest."""
        self._accounts.kind = kind
        spent_what = self._accounts.exhausted(self._legs.num_due)
        segment = self._legs.again() or (self._next() if spent_what is None else None)
        if segment is not None:
            self._legs.hand_out(segment)
            self._accounts.place(spec.trial_id for spec in segment.cohort)
            return segment
        if self._legs.running:
            return Idle.WAIT
        if spent_what is not None:
            self.end_waiting(spent_what)
        self._end_paused()
        if self._ready:
            return self.next_segment(kind)
        self.is_done = True
        return Idle.DONE

    def on_report(self, report: Report) -> None:
        """Record what a trial measured; a trial that has diverged, or stops early, ends here."""
        trial = self._trials.get(report.trial_id)
        if trial is None or (report.epoch <= trial.epoch and not report.is_last):
            return  # told before: the segment was lost and has run again
        report = self._limits.timed(trial, report)
        trial.num_lost = 0
        self._tracker.log(report)  # first, for what the study holds is not measured again
        self._standings.see(self._study.record(report))
        self._accounts.pay(report)
        if (lost := diverged(report) or self._limits.overrun(trial, report)) is not None:
            self._lose(trial, lost)
            return
        trial.last = report
        trial.course.append(self._sweep.metric.goal.as_cost(trial.value(self._compared)))
        if report.checkpoint is not None:
            through = trial.through(self._study.trial(report.trial_id), self._sweep.epochs, self._sweep.metric.name)
            self._shelf.replace(trial.checkpoint, report.checkpoint, through)
            trial.kept = report
        if report.best_epoch is not None:
            self._on_rung(self._sweep.epochs, [trial])
        self._watch(self.progress)

    def on_segment_end(self, end: SegmentEnd) -> None:
        """Decide on every trial of the segment: it goes on, ends here, or has to train this segment again."""
        for trial in [self._trials[trial_id] for trial_id in end.overdue if trial_id in self._trials]:
            self._lose(trial, self._limits.end(trial, trial.last))
        for failure in self._legs.land(end):
            self._fail(failure)
        self._on_rung(end.segment.to_epoch, self._legs.arrive(end.segment.cohort[0].trial_id))

    def extend(self, budget: Budget) -> None:
        """Go by another budget from now on."""
        self._budget = self._accounts.budget = full_budget(budget, self._scheduler, self._sweep.epochs)

    def pause(self) -> None:
        """Leave everything as it stands for a driver that goes on."""
        self._legs.log()

    def end_waiting(self, why: str) -> None:
        """End every trial that has not ended, because the sweep does: at its last state on disk."""
        for trial in list(self._trials.values()):
            trial.last = trial.kept
            self._end(trial, trial.ended(EndKind.STOPPED, self._sweep.metric.name, {"sweep_ended": why}))
        self._line.clear()
        self._ready.clear()
        self._legs.clear(why)
        if self._population is not None:
            self._population.disband()

    def progress(self) -> Progress:
        """How the sweep stands."""
        num_trials = len(self._study.trials())
        return self._accounts.progress(
            self._standings,
            rungs=self._line.num_at_rungs,
            num_trials=num_trials,
            num_planned=num_trials + self._budget.trials - self._num_asked - len(self._unbegun),
            num_epochs_planned=self._scheduler.planned_epochs(self._budget.trials, self._sweep.epochs),
            num_running=sum(len(segment.cohort) for segment in self._legs.running),
            num_ready=len(self._line.waiting),
        )

    def _next(self) -> Segment | None:
        match self._scheduler:
            case FreezeThaw() as scheduler:
                gains, of_new = self._study.gains(self._line.waiting)
                may_ask = self._num_asked < self._budget.trials
                chosen = scheduler.choose(self._line.waiting, gains, of_new if may_ask else None, self._num_slots())
            case Asha(form="promotion") as scheduler:
                chosen = scheduler.choose(self._line.costs, self._line.waiting)
            case Pbt():
                assert self._population is not None
                return self._new() or self._evolved(self._population)
            case _:
                return self._survivors(full=True) or self._new() or self._survivors(full=False)
        if not chosen:
            return self._new()
        rung = self._line.waiting[chosen[0]]
        cohort = self._line.take(chosen[: self._cohort_size(rung)])
        self._judge.on_resumption(rung, [self._trials[standing.trial_id] for standing in cohort])
        return self._resumed(cohort)

    def _evolved(self, population: Population) -> Segment | None:
        """Those who are farthest behind go on; whoever gives way at its turn is replaced by a child."""
        chosen = population.choose(self._num_slots())
        if not chosen:
            return None
        turn = self._line.waiting[chosen[0]]
        cohort = []
        for waiting in self._line.take(chosen[: self._cohort_size(turn)]):
            trial = self._trials[waiting.trial_id]
            if succession := population.take_turn(trial):
                self._stop(trial, succession.decision, exploited=succession.child.spec.trial_id)
            cohort.append(succession.child if succession else trial)
        return self._legs.begin(cohort, turn, self._line.rung_above(turn))

    def _survivors(self, *, full: bool) -> Segment | None:
        if full:
            sizes = {epoch: self._cohort_size(epoch) for epoch in self._line.waiting.values()}
            return self._resumed(self._line.take_full(sizes))
        return self._resumed(self._line.take_remaining(max(1, self._num_slots() - len(self._legs.running))))

    def _resumed(self, cohort: Sequence[Standing]) -> Segment | None:
        if not cohort:
            return None
        epoch = cohort[0].epoch
        trials = [self._trials[waiting.trial_id] for waiting in cohort]
        return self._legs.begin(trials, epoch, self._line.rung_above(epoch))

    def _new(self) -> Segment | None:
        num_left = self._budget.trials - self._num_asked
        if not self._ready and num_left > 0:
            self._ask(min(self._cohort_size(0), math.ceil(num_left / self._num_slots())))
        return self._ready.pop(0) if self._ready else None

    def _ask(self, num: int) -> None:
        """Begin new trials: a cohort of each ladder, for its trials train to the same rung."""
        self._num_asked += num
        by_ladder = defaultdict(list)
        left, self._unbegun = self._unbegun[:num], self._unbegun[num:]
        for record in [*left, *self._study.ask(num - len(left), self._line.waiting)]:
            trial = ActiveTrial(spec=self._sweep.specify(record))
            by_ladder[self._line.ladder(record.trial_id)].append(trial)
            self._trials[record.trial_id] = trial
            self._tracker.start(record.trial_id, record.params)
        self._ready += [self._legs.begin(trials, 0, rungs[0]) for rungs, trials in by_ladder.items()]

    def _cohort_size(self, epoch: int) -> int:
        num_epochs = self._line.rung_above(epoch) - epoch
        num_slots, seconds = self._num_slots(), self._accounts.seconds_per_epoch
        most = most_in_cohort(self._budget.trials, num_slots)
        return cohort_size(num_epochs=num_epochs, seconds_per_epoch=seconds, num_slots=num_slots, most=most)

    def _on_rung(self, rung: int, arrived: Sequence[ActiveTrial]) -> None:
        """Let trials that have arrived together wait for a cohort, or end."""
        decisions = self._judge.on_arrival(rung, arrived)
        if self._population is not None and rung < self._sweep.epochs:
            self._population.arrive(rung, arrived)
        for trial in arrived:
            decision = decisions.get(trial.spec.trial_id)
            if decision is None:
                self._end(trial, trial.ended(EndKind.COMPLETE, self._sweep.metric.name, trial.finish(rung)))
            elif decision.outcome is Outcome.STOPS:
                self._stop(trial, decision)
            else:
                self._line.join(standing(trial))

    def _end_paused(self) -> None:
        """Stop whoever waits though nobody is promoted any more; controls among them train to the end."""
        spared = defaultdict(list)
        for trial_id, rung in self._line.waiting.items():
            trial = self._trials[trial_id]
            decision = self._judge.on_abandonment(rung, trial)
            if decision.outcome is Outcome.SPARED:
                spared[rung, trial_id % self._num_slots()].append(trial)
            else:
                self._stop(trial, decision)
        self._line.clear()
        self._ready += [self._legs.begin(trials, rung, self._sweep.epochs) for (rung, _), trials in spared.items()]

    def _resume(self) -> None:
        """Go on where an earlier driver was; what its workers had not reported is trained again."""
        for trial_id, trial in self._trials.items():
            record = self._study.trial(trial_id)
            self._tracker.start(trial_id, record.params, record.parent)
            if trial.checkpoint is not None:
                self._shelf.hold(trial.checkpoint)
        recall(self._line, self._accounts, self._sweep, self._study)
        if self._population is not None:
            self._population.resume()
        self._shelf.recall(self._study.trials())
        left = left_behind(self._study, is_population=self._population is not None)
        self._unbegun += left.unbegun
        for trial_id in left.waiting:
            self._line.join(standing(self._trials[trial_id]))
        for trial_id, decision in left.stopped.items():
            self._stop(self._trials[trial_id], decision)
        self._on_rung(self._sweep.epochs, [self._trials[trial_id] for trial_id in left.arrived])
        for leg in left.legs:
            if segment := self._legs.resume(leg):
                self._ready.append(segment)
            self._on_rung(leg.to_epoch, self._legs.arrive(leg.trial_ids[0]))
        self._legs.log()

    def _stop(self, trial: ActiveTrial, decision: Decision, exploited: int | None = None) -> None:
        extra = {} if exploited is None else {"exploited": exploited}
        self._end(trial, trial.ended(EndKind.STOPPED, self._sweep.metric.name, {**stop_reason(decision), **extra}))

    def _fail(self, failure: Failure) -> None:
        """End a trial for good, and the sweep too where trial after trial fails alike."""
        trial = self._trials[failure.trial_id]
        self._lose(trial, trial.failed(failure))
        if self._alike.are_too_many(failure.error):
            self.end_waiting(FAILED_ALIKE)
            raise TrialsFailedError(f"{MOST_ALIKE} trials in a row failed with the same error:\n{failure.traceback}")

    def _lose(self, trial: ActiveTrial, end: End) -> None:
        """End a trial that has come to nothing."""
        self._end(trial, end)
        if self._population is not None:
            self._population.miss(trial)

    def _end(self, trial: ActiveTrial, end: End) -> None:
        self._tracker.end(trial.spec.trial_id, end)
        self._standings.see(self._study.tell(trial.spec.trial_id, end))
        del self._trials[trial.spec.trial_id]
        if trial.kept is None and trial.inherited is not None:
            self._shelf.release(trial.inherited)
        self._shelf.retire(self._study.trial(trial.spec.trial_id))
        self._accounts.credit(end)
        if end.kind is not EndKind.FAILED:
            self._alike.clear()
