"""Everything that hpo raises on purpose.

HpoError                 catch this to catch them all
├── SweepError           a sweep file has mistakes; `problems` holds every one of them
├── SpaceError           a domain or a path of the search space is wrong (also a ValueError)
├── DataError            data that cannot be trained on (also a ValueError)
├── StudyError           the search memory cannot be opened, or is owned by another driver
├── UriError             an address names a variable that the environment lacks
├── StorageError         checkpoints cannot be kept where the sweep file says
├── TrackingError        MLflow cannot be reached as asked
│   └── OutboxOwnedError what waits for MLflow is being written by another process
├── SweepNotFoundError   no sweep, or several, answer to an id
├── ResourceError        what was asked for is not to be had on these machines
├── DiskFullError        there is no room for a sweep's files; it is paused
├── WorkersError         workers are lost again and again before they have trained anything
├── ClusterError         a cluster that cannot be reached, or does not do what it is asked
├── LrRangeError         a learning-rate range test that says nothing
├── TrialsFailedError    trial after trial failed with the same error
├── BundleError          a bundle that cannot be written or read
│   └── NoAverageError   averaged weights are asked for, of a trial that has none
├── EnsembleError        members that cannot be pooled, selected or averaged as asked
└── PruneError           a network that cannot be pruned as asked
"""

from dataclasses import dataclass
from pathlib import Path


class HpoError(Exception):
    """Something a user can mend. The message says the rule, what we got, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake in a sweep file."""

    key: str
    """Dotted path inside the file; empty for the file as a whole."""
    message: str
    """The rule, the value and the remedy."""
    line: int | None = None
    """First line of the value, from 1; none when the key is absent or was set on the command line."""


class SweepError(HpoError):
    """All mistakes of a sweep file at once."""

    def __init__(self, source: Path | str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join(_describe(source, problem) for problem in problems))


class SpaceError(HpoError, ValueError):
    """A domain or a path of the search space is wrong."""


class DataError(HpoError, ValueError):
    """Data that cannot be trained on."""


class StudyError(HpoError):
    """The search memory cannot be opened, or another driver owns it."""


class UriError(HpoError):
    """An address that names a variable which the environment lacks."""


class StorageError(HpoError):
    """Checkpoints cannot be kept where the sweep file says."""


class TrackingError(HpoError):
    """MLflow cannot be reached as it is asked for."""


class OutboxOwnedError(TrackingError):
    """What waits for MLflow is being written by another process."""


class SweepNotFoundError(HpoError):
    """No sweep, or more than one, answers to an id."""


class ResourceError(HpoError):
    """The machines cannot give what the sweep asks for."""


class DiskFullError(HpoError):
    """There is no room for what a sweep writes; it is paused, and can go on."""


class WorkersError(HpoError):
    """Workers are lost again and again before they have trained anything."""


class ClusterError(HpoError):
    """A cluster that cannot be reached, lets nobody in, or does not do what it is asked."""


class LrRangeError(HpoError):
    """A learning-rate range test from which no rate can be read."""


class TrialsFailedError(HpoError):
    """Trial after trial failed with the same error: the sweep itself is at fault."""


class BundleError(HpoError):
    """A bundle that cannot be written or read."""


class NoAverageError(BundleError):
    """The averaged weights of a trial that has none, or none yet."""


class EnsembleError(HpoError, ValueError):
    """Members that cannot be pooled, selected or averaged as asked."""


class PruneError(HpoError):
    """A network that cannot be pruned as asked."""


def _describe(source: Path | str, problem: Problem) -> str:
    where = f"{source}:{problem.line}" if problem.line is not None else str(source)
    key = f"{problem.key}: " if problem.key else ""
    return f"{where}: {key}{problem.message}"
