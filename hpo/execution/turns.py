"""Which of Tune's pending trials gets a worker that has become free."""

import time
from typing import Any, final

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from hpo.execution.searcher import SegmentSearcher

START_S = 60.0
"""As long as this a worker may take to start before its segment is given to another one."""


@final
class WarmFirst(FIFOScheduler):
    """The newest, which has no worker yet: Tune's own choice is the oldest, whose starting worker it would then end.

    With segments that are shorter than a worker takes to start, none on a new node would ever come to its first.
    """

    def __init__(self, searcher: SegmentSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def __getstate__(self) -> dict[str, object]:
        """Nothing of the driver: see `SegmentSearcher`."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """One that has waited too long; else none, and Tune goes by what has no worker."""
        overdue = self._searcher.find_unbegun(time.monotonic() - START_S)
        live = tune_controller.get_live_trials() if overdue else ()
        return next((trial for trial in live if trial.status == Trial.PENDING and trial.trial_id in overdue), None)
