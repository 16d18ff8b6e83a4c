"""How long to wait for a worker that says nothing."""

import math
from typing import final

from hpo.records import Begun, Failure, Message, Report, Segment


@final
class Patience:
    """With one segment: what its trials have trained, by their own clocks, and what nobody has said anything in since.

    Silence counts in full for each of the trials that train side by side, whose own share of an epoch is less.
    """

    def __init__(self, segment: Segment, now_s: float) -> None:
        """A worker has got `segment` at `now_s`; until it says more, every trial may be what it hangs at."""
        self._to_epoch = segment.to_epoch
        self._left_s = dict(segment.left_s)
        self._training = {spec.trial_id for spec in segment.cohort}
        self._heard_s = now_s

    def hear(self, message: Message, now_s: float) -> None:
        """The worker has said something."""
        self._heard_s = now_s
        match message:
            case Begun(trial_ids=trial_ids):
                self._training = set(trial_ids)
            case Report(trial_id=trial_id) as report:
                if trial_id in self._left_s:
                    self._left_s[trial_id] -= report.metrics["seconds"]
                if report.is_last or report.epoch == self._to_epoch:
                    self._training.discard(trial_id)
            case Failure(trial_id=trial_id):
                self._training.discard(trial_id)

    def hung(self, now_s: float) -> tuple[int, ...]:
        """Who trains, if it has been silent for longer than one of them may; else nobody."""
        least_s = min((self._left_s.get(trial_id, math.inf) for trial_id in self._training), default=math.inf)
        return tuple(sorted(self._training)) if now_s - self._heard_s > least_s else ()
