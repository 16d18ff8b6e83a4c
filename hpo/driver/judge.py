"""What is decided of trials at rungs, and its record."""

import itertools
import math
from collections.abc import Sequence
from typing import final

from hpo.driver.trials import ActiveTrial
from hpo.records import Decision, Outcome
from hpo.scheduling import pauses, share_of_controls
from hpo.scheduling.controls import is_control
from hpo.scheduling.halving import Verdict
from hpo.scheduling.line import Line
from hpo.search.study import Study
from hpo.sweep import Terms


@final
class Judge:
    """Decides by what the line has seen; every decision is remembered with its trial."""

    def __init__(self, sweep: Terms, study: Study, line: Line) -> None:
        self._sweep = sweep
        self._study = study
        self._line = line
        self._pauses = pauses(sweep.chosen.scheduler)
        self._share = share_of_controls(sweep.chosen.scheduler)
        self._numbers = itertools.count(sum(len(trial.decisions) for trial in study.trials()))

    def on_arrival(self, rung: int, trials: Sequence[ActiveTrial]) -> dict[int, Decision]:
        """Of trials that have arrived together, by the same values; at the end of training nothing is decided."""
        verdicts = self._line.judge(rung, {trial.spec.trial_id: trial.course for trial in trials})
        if rung == self._sweep.epochs:
            return {}
        going = Outcome.PAUSES if self._pauses else Outcome.CONTINUES
        decisions = {}
        for trial in trials:
            verdict = verdicts[trial.spec.trial_id]
            outcome = going if verdict.continues else self._stopped(trial)
            decisions[trial.spec.trial_id] = self._decision(trial, rung, verdict, outcome)
        self._study.decide(decisions)
        return decisions

    def on_resumption(self, rung: int, trials: Sequence[ActiveTrial]) -> None:
        """Of trials that have paused at `rung`, and go on."""
        verdicts = self._line.judge(rung, {trial.spec.trial_id: trial.course for trial in trials})
        resumed = {trial.spec.trial_id: trial for trial in trials if self.since_its_pause(trial) is None}
        self._study.decide(
            {
                trial_id: self._decision(trial, rung, verdicts[trial_id], Outcome.CONTINUES)
                for trial_id, trial in resumed.items()
            }
        )

    def on_abandonment(self, rung: int, trial: ActiveTrial) -> Decision:
        """Of a trial that has paused at `rung`, and that nobody will let go on any more."""
        [verdict] = self._line.judge(rung, {trial.spec.trial_id: trial.course}).values()
        return self.since_its_pause(trial) or self._decided(trial, rung, verdict, self._stopped(trial))

    def since_its_pause(self, trial: ActiveTrial) -> Decision | None:
        """What was decided since by a driver that did not live to act on it."""
        last = self._study.trial(trial.spec.trial_id).decisions[-1]
        return None if last.outcome is Outcome.PAUSES else last

    def on_turn(self, trial: ActiveTrial, verdict: Verdict) -> Decision:
        """Of a member of a population that has paused, and may go on now or gives way."""
        return self._decided(trial, trial.epoch, verdict, Outcome.CONTINUES if verdict.continues else Outcome.STOPS)

    def _is_control(self, trial: ActiveTrial) -> bool:
        return is_control(self._sweep.seed, trial.spec.trial_id, self._share)

    def _stopped(self, trial: ActiveTrial) -> Outcome:
        """A control is spared, unless there is nothing to learn of it any more."""
        is_spared = self._is_control(trial) and math.isfinite(trial.course[-1])
        return Outcome.SPARED if is_spared else Outcome.STOPS

    def _decided(self, trial: ActiveTrial, rung: int, verdict: Verdict, outcome: Outcome) -> Decision:
        decision = self._decision(trial, rung, verdict, outcome)
        self._study.decide({trial.spec.trial_id: decision})
        return decision

    def _decision(self, trial: ActiveTrial, rung: int, verdict: Verdict, outcome: Outcome) -> Decision:
        as_value = self._sweep.metric.goal.as_cost  # its own inverse
        decision = Decision(
            rung=rung,
            value=as_value(verdict.cost),
            cutoff=as_value(verdict.cutoff),
            rank=verdict.rank,
            num_seen=verdict.num_seen,
            outcome=outcome,
            is_control=self._is_control(trial),
            number=next(self._numbers),
            doubt=verdict.doubt,
        )
        if outcome is Outcome.SPARED and trial.spared is None:
            trial.spared = decision
        return decision
