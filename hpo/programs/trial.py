"""Trial: what a training function of the user's own is given."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from hpo.programs.state import State
from hpo.records import Params
from hpo.spaces.spelling import did_you_mean

RESERVED = ("seconds", "total_seconds", "lanes")
"""Metrics that are measured for the user."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a function says of an epoch."""

    epoch: int
    metrics: Mapping[str, float]
    state: State | None

    @property
    def is_finite(self) -> bool:
        """Whether every metric is."""
        return all(map(math.isfinite, self.metrics.values()))


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """From where a trial trains, how far, and what it must say."""

    from_epoch: int
    to_epoch: int
    max_epochs: int
    """Full length: beyond it nobody goes on, so no state is needed there."""
    metric: str


@final
class Trial:
    """One trial, from one rung to the next: `for epoch in trial.epochs(): ...; trial.report(epoch, val_loss=...)`.

    The same function is called again for the next epochs, perhaps in another process: all that it needs to go on must
    be in the state that it hands over.
    """

    def __init__(  # noqa: PLR0913 - made in one place, by name
        self,
        *,
        trial_id: int,
        params: Params,
        seed: int,
        state: State | None,
        folder: Path,
        device: Literal["cpu", "cuda"],
        num_threads: int,
        bounds: Bounds,
        tell: Callable[[Told], None],
    ) -> None:
        self.trial_id = trial_id
        """Number of the trial in its sweep, from 0."""
        self.params = params
        """Every one that the sweep file names: as it was searched, or as it stands there."""
        self.seed = seed
        """In [0, 2**63), from the sweep's seed and the number of the trial."""
        self.state = state
        """What was handed over last, perhaps by another trial whose place this one took; none at the beginning.

        Tensors are on the CPU; of a folder it is the path of a copy, to be changed at will.
        """
        self.folder = folder
        """Empty at first, and gone after the last of these epochs: for a state that is a folder, among others."""
        self.device = device
        """Where to train, by `resources.gpus`."""
        self.num_threads = num_threads
        """How many to compute with, by `resources.cpus`."""
        self._bounds = bounds
        self._tell = tell
        self._reported = bounds.from_epoch

    def epochs(self) -> Iterator[int]:
        """The epochs to train now, from 1.

        Raises:
            ValueError: if the next is asked for before the last was reported.
        """
        for epoch in range(self._bounds.from_epoch + 1, self._bounds.to_epoch + 1):
            yield epoch
            if self._reported < epoch:
                raise ValueError(
                    f"every epoch must be reported before the next begins, but {epoch} was not. "
                    f"Call trial.report({epoch}, {self._bounds.metric}=...)."
                )

    def report(self, epoch: int, *, state: State | None = None, **metrics: float) -> None:
        """Say what was measured after an epoch; one that is not finite ends the trial, as diverged.

        Args:
            epoch: the next one.
            state: all that is needed to go on: bytes; a dict of tensors, arrays, numbers, texts, and of dicts, lists
                and tuples of these; or the path of a folder. Only that of the last of `epochs()` is kept.
            metrics: by name, the sweep's metric among them.

        Raises:
            ValueError: if a rule of these is broken.
        """
        self._check_turn(epoch)
        self._check_metrics(metrics)
        told = Told(epoch=epoch, metrics={name: float(value) for name, value in metrics.items()}, state=state)
        bounds = self._bounds
        if state is None and told.is_finite and epoch == bounds.to_epoch < bounds.max_epochs:
            raise ValueError(
                f"a state must come with the last of trial.epochs(), to go on from there, but epoch {epoch} has none. "
                "Hand it over: trial.report(epoch, ..., state={...}); or use scheduler: {kind: none}."
            )
        self._reported = epoch
        self._tell(told)

    def check_through(self) -> None:
        """The function has returned.

        Raises:
            ValueError: if it has not reported every epoch.
        """
        if self._reported < self._bounds.to_epoch:
            raise ValueError(
                f"every one of trial.epochs() must be reported, but the function returned after epoch "
                f"{self._reported} of {self._bounds.to_epoch}. Report the others, or raise."
            )

    def _check_turn(self, epoch: int) -> None:
        due = self._reported + 1
        if due > self._bounds.to_epoch:
            raise ValueError(f"no epoch after {self._reported} may be reported now, but got {epoch}. End the loop.")
        if epoch != due:
            raise ValueError(f"epochs must be reported in turn, each once: {due} is next, but got {epoch}.")

    def _check_metrics(self, metrics: Mapping[str, object]) -> None:
        metric = self._bounds.metric
        if metric not in metrics:
            known = ", ".join(metrics) or "none"
            raise ValueError(
                f"every report must hold {metric}, the sweep's metric, but holds {known}."
                f"{did_you_mean(metric, metrics)} Report it."
            )
        for name, value in metrics.items():
            if name in RESERVED:
                raise ValueError(f"{name} must not be reported, for it is measured already. Name yours otherwise.")
            if not _is_number(value):
                raise ValueError(f"{name}: a metric must be a number, but got {value!r}. Report float(...) of it.")


def _is_number(value: object) -> bool:
    """Also arrays and tensors of one."""
    if isinstance(value, str | bytes | bool):
        return False
    try:
        float(value)  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError, RuntimeError):
        return False
    return True
