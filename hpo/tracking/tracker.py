"""The contract of a tracker, and the tracker that does nothing."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from hpo.records import End, Params, Parent, Report


class SweepStatus(StrEnum):
    """How the driver leaves a sweep."""

    FINISHED = "finished"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Tracker(Protocol):
    """Shows a sweep to people; what it shows is never read back to decide anything.

    Called by the driver from one thread. Everything but `run_id` and `finish` returns at once, and
    nothing raises because a server is away. To say the same thing twice is harmless: after a crash
    the driver starts its trials again and repeats what it is not sure of.
    """

    def start(self, trial_id: int, params: Params, parent: Parent | None = None) -> None:
        """A trial began, from the state of its parent if it has one, or goes on in a new generation."""

    def log(self, report: Report) -> None:
        """A trial was measured."""

    def end(self, trial_id: int, end: End) -> None:
        """A trial is over."""

    def tag(self, trial_id: int, tags: Mapping[str, str]) -> None:
        """Say more of a trial, which may be over."""

    def log_artifact(self, path: Path) -> None:
        """Keep a file, or a folder with all that is in it, with the sweep. It must stay until it is written."""

    def run_id(self, trial_id: int, timeout_s: float = 60.0) -> str | None:
        """The tracker's own id of a trial, as soon as there is one; none without one in time."""

    def problem(self) -> str | None:
        """Why nothing can be shown at the moment; may be called from another thread."""

    def finish(
        self, summary: Mapping[str, float | int | str], status: SweepStatus, timeout_s: float = 60.0
    ) -> str | None:
        """Wait until all is written, and close the sweep and every trial that has no end.

        Nobody waits for a server that is known to be away: what it misses is kept, and written by the next tracker of
        the sweep, or by `hpo doctor`.

        Returns:
            What could not be written, and why, in words; none when nothing is missing.
        """


class NullTracker:
    """Shows nothing."""

    def start(self, trial_id: int, params: Params, parent: Parent | None = None) -> None:
        """Do nothing."""

    def log(self, report: Report) -> None:
        """Do nothing."""

    def end(self, trial_id: int, end: End) -> None:
        """Do nothing."""

    def tag(self, trial_id: int, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def log_artifact(self, path: Path) -> None:
        """Do nothing."""

    def run_id(self, trial_id: int, timeout_s: float = 60.0) -> str | None:
        """There are no runs."""
        return None

    def problem(self) -> str | None:
        """There is never one."""
        return None

    def finish(
        self, summary: Mapping[str, float | int | str], status: SweepStatus, timeout_s: float = 60.0
    ) -> str | None:
        """Nothing is ever missing."""
        return None
