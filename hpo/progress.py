"""How a sweep stands, for whoever watches it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from hpo.records import EndKind, TrialRecord


@dataclass(frozen=True, kw_only=True)
class EnsembleSoFar:
    """Of the trials that have ended, on all validation examples: those by which it was selected among them."""

    num_members: int
    nll: float
    """In nats."""
    accuracy: float
    single_nll: float
    """Of the single network of lowest NLL."""
    single_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A sweep at one moment."""

    num_trials: int
    """Asked for so far."""
    num_planned: int
    num_running: int
    num_ready: int
    """Waiting in line at a rung."""
    ends: Mapping[EndKind, int]
    rungs: Mapping[int, int]
    """Trials that have reached each rung."""
    best: TrialRecord | None
    num_epochs: int
    """Trained so far, over all trials."""
    mean_lanes: float
    """Trials that trained side by side, on average over programs and epochs; 1 before the first report."""
    elapsed_s: float
    remaining_s: float | None
    """From the epochs that the ladder still plans; none before the first rung."""
    ensemble: EnsembleSoFar | None = None
    """None before there is one, and where the sweep asks for none."""

    @property
    def is_over(self) -> bool:
        """Whether no trial trains or waits."""
        return self.num_running == self.num_ready == 0


Watch = Callable[[Progress], None]
"""Told how the sweep stands, a few times a second, in the driver's thread."""
WATCH_S = 0.25
"""Time between two looks at the progress."""


@final
class Seldom:
    """Lets someone watch, but not at every report."""

    def __init__(self, watch: Watch, clock: Callable[[], float]) -> None:
        """`clock`: seconds since any moment."""
        self._watch = watch
        self._clock = clock
        self._watched = clock()

    def __call__(self, progress: Callable[[], Progress]) -> None:
        """Show the progress, if the last look was a while ago."""
        if self._clock() - self._watched >= WATCH_S:
            self._watched = self._clock()
            self._watch(progress())
