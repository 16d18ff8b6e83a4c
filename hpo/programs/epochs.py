"""What a program logs, in the order in which it comes, as epochs that are through."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

from hpo.programs.trial import RESERVED, Bounds, Told
from hpo.spaces.spelling import did_you_mean


@dataclass
class _Epoch:
    metrics: dict[str, float] = field(default_factory=dict)
    at_s: float = 0.0
    """When the last of them was logged."""


@final
class Epochs:
    """Epochs up to a rung, each told once: when something of a later one is logged, or the program has ended."""

    def __init__(self, bounds: Bounds) -> None:
        """Nothing is logged of those that the trial has behind it."""
        self._bounds = bounds
        self._reported = bounds.from_epoch
        self._logged: defaultdict[int, _Epoch] = defaultdict(_Epoch)

    def log(self, name: str, value: float, epoch: int, at_s: float) -> None:
        """A metric after an epoch; what is logged of no epoch of this segment is nobody's, but for the sweep's metric.

        Raises:
            ValueError: if a rule of these is broken.
        """
        bounds = self._bounds
        if name == bounds.metric and epoch > bounds.to_epoch:
            raise ValueError(
                f"no epoch after {bounds.to_epoch} may be logged now, but got {name} of {epoch}. End the program at "
                "the epoch that {to_epoch} and HPO_TO_EPOCH say."
            )
        if not self._reported < epoch <= bounds.to_epoch:
            return
        if name in RESERVED:
            raise ValueError(f"{name} must not be logged, for it is measured already. Name yours otherwise.")
        logged = self._logged[epoch]
        logged.metrics[name], logged.at_s = value, at_s

    def through(self) -> Iterator[tuple[Told, float]]:
        """Those of which nothing more can come, and when each was; one that is not finite comes at once, and last.

        Raises:
            ValueError: if one was left out.
        """
        bounds = self._bounds
        while (epoch := self._reported + 1) <= max(self._logged, default=0):
            told = self._told(epoch)
            has_metric = bounds.metric in told.metrics
            if told.is_finite and (epoch == max(self._logged) or not (has_metric or self._is_past(epoch))):
                return
            if told.is_finite and not has_metric:
                raise ValueError(self._missing(epoch))
            yield told, self._logged[epoch].at_s
            self._reported = epoch
            if not told.is_finite:
                return

    def rest(self) -> Iterator[tuple[Told, float]]:
        """The same, when the program has ended as it should: all of them.

        Raises:
            ValueError: if one was left out.
        """
        for told, at_s in self.through():
            yield told, at_s
            if not told.is_finite:
                return
        for epoch in range(self._reported + 1, self._bounds.to_epoch + 1):
            if self._bounds.metric not in self._told(epoch).metrics:
                raise ValueError(self._missing(epoch))
            yield self._told(epoch), self._logged[epoch].at_s
            self._reported = epoch

    def _told(self, epoch: int) -> Told:
        metrics = self._logged[epoch].metrics if epoch in self._logged else {}
        return Told(epoch=epoch, metrics=metrics, state=None)

    def _is_past(self, epoch: int) -> bool:
        """Whether the sweep's metric was logged of a later epoch: other metrics may run ahead."""
        return any(later > epoch and self._bounds.metric in each.metrics for later, each in self._logged.items())

    def _missing(self, epoch: int) -> str:
        metric, bounds = self._bounds.metric, self._bounds
        names = self._told(epoch).metrics
        of_others = f"only {', '.join(names)}" if names else "nothing"
        return (
            f"{metric}, the sweep's metric, must be logged of every epoch up to {bounds.to_epoch}, to the run that "
            f"MLFLOW_RUN_ID names, with step=1 for the first epoch, but of {epoch} {of_others} is logged."
            f"{did_you_mean(metric, names)} Log it, and set no other tracking URI or experiment."
        )
