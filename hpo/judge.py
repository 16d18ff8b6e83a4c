"""What is decided of trials at rungs, and its record."""

from collections.abc import Sequence
from typing import final

from hpo.records import Decision, Outcome
from hpo.scheduling import pauses
from hpo.scheduling.halving import Verdict
from hpo.scheduling.line import Line
from hpo.search.study import Study
from hpo.sweep import Terms
from hpo.trials import ActiveTrial


@final
class Judge:
    """Decides by what the line has seen; every decision is remembered with its trial."""

    def __init__(self, sweep: Terms, study: Study, line: Line) -> None:
        self._sweep = sweep
        self._study = study
        self._line = line

    def on_arrival(self, rung: int, trials: Sequence[ActiveTrial]) -> dict[int, Decision]:
        """Of trials that have arrived together, by the same values; at the end of training nothing is decided."""
        verdicts = self._line.judge(rung, {trial.spec.trial_id: trial.course for trial in trials})
        if rung == self._sweep.epochs:
            return {}
        going = Outcome.PAUSES if pauses(self._sweep.scheduler) else Outcome.CONTINUES
        return {
            trial_id: self._decided(trial_id, rung, verdict, going if verdict.continues else Outcome.STOPS)
            for trial_id, verdict in verdicts.items()
        }

    def on_resumption(self, rung: int, trials: Sequence[ActiveTrial]) -> None:
        """Of trials that have paused at `rung`, and go on."""
        verdicts = self._line.judge(rung, {trial.spec.trial_id: trial.course for trial in trials})
        for trial_id, verdict in verdicts.items():
            self._decided(trial_id, rung, verdict, Outcome.CONTINUES)

    def on_abandonment(self, rung: int, trial: ActiveTrial) -> Decision:
        """Of a trial that has paused at `rung`, and that nobody will let go on any more."""
        trial_id = trial.spec.trial_id
        verdict = self._line.judge(rung, {trial_id: trial.course})[trial_id]
        return self._decided(trial_id, rung, verdict, Outcome.STOPS)

    def _decided(self, trial_id: int, rung: int, verdict: Verdict, outcome: Outcome) -> Decision:
        as_value = self._sweep.metric.goal.as_cost  # its own inverse
        decision = Decision(
            rung=rung,
            value=as_value(verdict.cost),
            cutoff=as_value(verdict.cutoff),
            rank=verdict.rank,
            num_seen=verdict.num_seen,
            outcome=outcome,
        )
        self._study.decide(trial_id, decision)
        return decision
