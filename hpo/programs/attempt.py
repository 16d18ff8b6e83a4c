"""One program that trains one trial from rung to rung, read as it goes."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from hpo.paths import SweepPaths
from hpo.programs.epochs import Epochs
from hpo.programs.process import Output, Wait, ended_by
from hpo.programs.reporting import report_of
from hpo.programs.trial import Bounds
from hpo.records import Failure, Message, Report, Segment, TrialSpec
from hpo.tracking.private import PrivateRun

POLL_S = 0.2
"""Between two looks at what the program has logged."""
LEAST_S = 1e-3
"""That an epoch takes: MLflow's clock has no finer ticks."""


@final
@dataclass(kw_only=True)
class Attempt:
    """A program that runs, and what it has said."""

    spec: TrialSpec
    segment: Segment
    metric: str
    max_epochs: int
    paths: SweepPaths
    run: PrivateRun
    wait: Wait
    output: Output
    state: Path
    """The folder that it fills, to go on from."""
    began_s: float
    """By the monotonic clock."""
    told_s: float = 0.0
    """From then to the end of the last epoch that was reported."""

    def messages(self) -> Iterator[Message]:
        """Epochs as they come, until the program has ended, or is of no more use.

        Raises:
            ValueError: if it breaks a rule of what it logs.
            ChildProcessError: if it fails.
        """
        segment = self.segment
        bounds = Bounds(
            from_epoch=segment.from_epoch, to_epoch=segment.to_epoch, max_epochs=self.max_epochs, metric=self.metric
        )
        epochs, code, left_s = Epochs(bounds), None, segment.left_s.get(self.spec.trial_id, math.inf)
        while code is None:
            if self._elapsed_s >= left_s:
                yield self._overdue(left_s)
                return
            code = self.wait(max(LEAST_S, min(POLL_S, left_s - self._elapsed_s)))
            for report in self._reports(epochs, code):
                yield report
                if report.is_last:
                    return
        if code != 0:
            raise self._failed(code)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self.began_s

    def _reports(self, epochs: Epochs, code: int | None) -> Iterator[Report]:
        """Of what is new; of all that is left, with the state, if the program has ended as it should."""
        self.output.trim()
        began_s = time.time() - self._elapsed_s
        for logged in self.run.news():
            epochs.log(logged.name, logged.value, logged.step, logged.at_s - began_s)
        for told, at_s in epochs.rest() if code == 0 else epochs.through():
            is_end = code == 0 and told.epoch == self.segment.to_epoch
            end_s = self._elapsed_s if is_end else min(max(at_s, self.told_s), self._elapsed_s)
            seconds = max(LEAST_S, end_s - self.told_s)
            yield report_of(replace(told, state=self.state), self.spec, self.segment, self.paths, seconds)
            self.told_s = end_s

    def _overdue(self, limit_s: float) -> Failure:
        error = f"the program must end within {limit_s:g} s, but has not."
        return Failure(trial_id=self.spec.trial_id, error=error, traceback=error, is_overdue=True)

    def _failed(self, code: int) -> ChildProcessError:
        said = self.output.tail()
        last = said.rpartition("\n")[2] or "it has said nothing"
        error = ChildProcessError(f"the program must end with exit code 0, but ended with {ended_by(code)}: {last}")
        error.add_note(f"The end of {self.output.stderr}:\n{said}")
        return error
