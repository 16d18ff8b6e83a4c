"""A sweep as MLflow runs: one for the sweep, and nested in it one for each trial."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from hpo.records import End, Goal, Params, Parent, Report
from hpo.tracking.entries import Entry, begun, ended, finished, left_open, reported, started
from hpo.tracking.environment import quieten
from hpo.tracking.location import absolute
from hpo.tracking.outbox import Outbox, Runs
from hpo.tracking.tracker import SweepStatus
from hpo.uris import filled_in


class MlflowTracker:
    """Writes to MLflow from a background thread, which also imports it and makes the store.

    Made again for the same `sweep_id` and `outbox`, it finds its runs by their tags, writes what waits, and goes on.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        sweep_id: str,
        *,
        outbox: Path,
        metric: str,
        goal: Goal,
        tags: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is opened before the first call.

        Args:
            uri: of an MLflow server, or of a database; a relative `sqlite:///` path counts from the current folder, and
                `${NAME}` stands for a variable of the environment.
            experiment: made if there is none of this name. Artifacts of a local database lie beside it, in `mlruns`.
            sweep_id: the name of the sweep's run; its trials are `sweep_id/trial_id`.
            outbox: the file in which waits what MLflow has yet to be told.
            metric: the objective; trials that complete get it once more as `final_<metric>`.
            goal: which way the objective is better.
            tags: more of the sweep's run, such as hpo.version and hpo.generation.
            clock: seconds since the epoch.

        Raises:
            UriError: if the environment lacks a variable that `uri` names.
        """
        self._metric = metric
        self._clock = clock
        self._open_trials: set[int] = set()
        self._begin: Entry | None = begun({**tags, "hpo.metric": metric, "hpo.goal": goal.value}, self._now_ms())
        self._outbox = open_outbox(outbox, uri, experiment, sweep_id, remedy=f"`hpo doctor {sweep_id}` writes them.")

    def start(self, trial_id: int, params: Params, parent: Parent | None = None) -> None:
        """See `Tracker`."""
        self._open_trials.add(trial_id)
        self._put(started(trial_id, params, parent, self._now_ms()))

    def log(self, report: Report) -> None:
        """See `Tracker`."""
        self._put(reported(report, self._now_ms()))

    def end(self, trial_id: int, end: End) -> None:
        """See `Tracker`."""
        self._open_trials.discard(trial_id)
        self._put(ended(trial_id, end, self._metric, self._now_ms()))

    def tag(self, trial_id: int, tags: Mapping[str, str]) -> None:
        """See `Tracker`."""
        self._put(Entry(trial_id=trial_id, tags=tags))

    def log_artifact(self, path: Path) -> None:
        """See `Tracker`."""
        self._put(Entry(trial_id=None, artifact=path.absolute()))

    def run_id(self, trial_id: int, timeout_s: float = 60.0) -> str | None:
        """See `Tracker`."""
        self._put()
        return self._outbox.run_id(trial_id, timeout_s)

    def problem(self) -> str | None:
        """See `Tracker`."""
        return self._outbox.problem

    def finish(
        self, summary: Mapping[str, float | int | str], status: SweepStatus, timeout_s: float = 60.0
    ) -> str | None:
        """See `Tracker`."""
        now_ms = self._now_ms()
        try:
            for trial_id in sorted(self._open_trials):
                self._put(left_open(trial_id, status, now_ms))
            self._put(finished(summary, status, now_ms))
        finally:
            untracked = self._outbox.close(timeout_s)
        return untracked

    def _put(self, *told: Entry) -> None:
        """The first thing that MLflow is told is that the sweep began."""
        if self._begin is not None:
            self._outbox.put(self._begin)
            self._begin = None
        for entry in told:
            self._outbox.put(entry)

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)


def open_outbox(path: Path, uri: str, experiment: str, sweep_id: str, *, remedy: str) -> Outbox:
    """What writes the file at `path` to a sweep's runs; nothing is opened before its first call.

    Raises:
        UriError: if the environment lacks a variable that `uri` names.
    """
    return Outbox(path, partial(_open_runs, absolute(filled_in(uri)), experiment, sweep_id), remedy=remedy)


def _open_runs(uri: str, experiment: str, sweep_id: str) -> Runs:
    """Called in the background thread: the import takes a second, a fresh database three."""
    quieten()
    from hpo.tracking.runs import open_runs  # noqa: PLC0415 - see above

    return open_runs(uri, experiment, sweep_id)
