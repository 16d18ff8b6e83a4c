"""How long trials may train, by their own clocks."""

from dataclasses import dataclass, replace
from typing import final

from hpo.driver.trials import ActiveTrial
from hpo.records import End, EndKind, Report
from hpo.sweep import Retries

TOTAL = "total_seconds"
"""The metric in which a trial that has a limit says what all its epochs took; it outlives the driver."""


@final
@dataclass(frozen=True)
class Limits:
    """Time that is lost with a worker is nobody's: a segment that trains again begins where it began."""

    retries: Retries

    def timed(self, trial: ActiveTrial, report: Report) -> Report:
        """`report`, the trial's next one, with the time of all its epochs; as it is where there is no limit."""
        if self._bound(trial) is None:
            return report
        total_s = _total_s(trial.last) + report.metrics["seconds"]
        return replace(report, metrics={**report.metrics, TOTAL: total_s})

    def left_s(self, trial: ActiveTrial) -> float | None:
        """How long a trial may train in a segment that begins at its last state; none where it has no limit."""
        bound = self._bound(trial)
        return None if bound is None else bound[0]

    def overrun(self, trial: ActiveTrial, report: Report) -> End | None:
        """The end of a trial by a report, its next one, if it has trained longer than it may."""
        bound = self._bound(trial)
        if bound is None or report.metrics[TOTAL] - _total_s(trial.kept) <= bound[0]:
            return None
        return self.end(trial, report)

    def end(self, trial: ActiveTrial, at: Report | None) -> End:
        """Of a trial over its limit, at its last report, if any."""
        bound = self._bound(trial)
        assert bound is not None
        epoch, metrics = (trial.epoch, {}) if at is None else (at.epoch, at.metrics)
        return End(kind=EndKind.TIMED_OUT, epoch=epoch, metrics=metrics, reason={"limit_s": bound[1]})

    def _bound(self, trial: ActiveTrial) -> tuple[float, float] | None:
        """What is left of the limit that is met first, and the limit, in seconds."""
        bounds = []
        if self.retries.trial_timeout is not None:
            bounds.append((self.retries.trial_timeout - _total_s(trial.kept), self.retries.trial_timeout))
        if self.retries.segment_timeout is not None:
            bounds.append((self.retries.segment_timeout, self.retries.segment_timeout))
        return min(bounds, default=None)


def _total_s(report: Report | None) -> float:
    return 0.0 if report is None else report.metrics.get(TOTAL, 0.0)
