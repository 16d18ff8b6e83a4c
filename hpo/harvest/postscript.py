"""What MLflow is told of a sweep once its driver is gone."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hpo.paths import SweepPaths
from hpo.search.database import owner_of
from hpo.sweep import AnySweep
from hpo.tracking.entries import Entry
from hpo.tracking.mlflow import open_outbox
from hpo.tracking.outbox import Outbox

TIMEOUT_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Postscript:
    """Takes entries, which are safe at once."""

    outbox: Outbox | None
    """None where MLflow is not to be told."""

    def add(self, entry: Entry) -> None:
        """Say more of the sweep, or of a trial."""
        if self.outbox is not None:
            self.outbox.put(entry)

    def run_id(self, trial_id: int) -> str | None:
        """MLflow's own id of a trial; none where it does not say."""
        return None if self.outbox is None else self.outbox.run_id(trial_id, TIMEOUT_S)


@contextmanager
def postscript(sweep: AnySweep, paths: SweepPaths) -> Iterator[Postscript]:
    """What is added is written at its end, or waits for `hpo doctor`, with a warning; with a driver nothing is told."""
    if sweep.tracking is None or owner_of(sweep.storage.place(paths)) is not None:
        yield Postscript(None)
        return
    remedy = f"`hpo doctor {paths.sweep_id}` writes them."
    outbox = open_outbox(paths.outbox, sweep.tracking.uri, sweep.experiment, paths.sweep_id, remedy=remedy)
    try:
        yield Postscript(outbox)
    finally:
        if (untracked := outbox.close(TIMEOUT_S)) is not None:
            logger.warning("%s", untracked)
