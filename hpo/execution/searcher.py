"""Segments as what Ray Tune searches for."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd
from hpo.execution.patience import Patience
from hpo.execution.trainable import MESSAGES, SEGMENT
from hpo.records import Failure, Idle, Message, Report, Segment, SegmentEnd

LEAST_REST_S, MOST_REST_S, REST_SHARE = 0.1, 30.0, 0.1
"""How long a worker without a segment waits before it asks again."""

GRACE_S = 3.0
"""A sweep that has nothing to train for so long gives way to others: a new worker takes as long to start."""


@dataclass
class _Running:
    """A segment that a worker has, or is about to get."""

    segment: Segment
    since_s: float
    """When it was handed out."""
    failures: list[Failure] = field(default_factory=list)
    patience: Patience | None = None
    """From when the worker has it."""
    hung: tuple[int, ...] = ()


class SegmentSearcher(Searcher):
    """Hands segments to Tune as if they were proposals, and their results back."""

    def __init__(
        self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd, num_slots: Callable[[], int]
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.raised: Exception | None = None
        """What one of the three functions has raised."""
        self.num_ended = 0
        """Segments that a worker has trained to their end."""
        self.has_stood_down = False
        """Whether Tune has ended because there were no slots, though there may be more to train."""
        self._next_segment = next_segment
        self._on_report = on_report
        self._on_segment_end = on_segment_end
        self._num_slots = num_slots
        self._live: set[str] = set()  # what Tune has of us: segments and rests
        self._running: dict[str, _Running] = {}
        self._waiting_since: float | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a string
        with self._keeping_what_is_raised():
            num_slots = self._num_slots()
            self.has_stood_down = num_slots == 0 and not self._live
            if self.has_stood_down:
                return str(Searcher.FINISHED)  # Tune would wait in its sleep, and hear no interrupt
            if len(self._live) >= num_slots:
                return None  # a worker that gets nothing more is ended by Tune, which frees its place
            match self._next_segment():
                case Segment() as segment:
                    self._running[trial_id] = _Running(segment, time.monotonic())
                    self._waiting_since = None
                    what: Segment | float = segment
                case Idle.WAIT if self.num_unbegun:
                    return None  # the worker that is free is for one of them
                case Idle.WAIT:  # Tune would end a worker that has no trial, and a new one takes seconds
                    what = self._rest_s(time.monotonic())
                case Idle.DONE:
                    return str(Searcher.FINISHED)
            self._live.add(trial_id)
            return {SEGMENT: what}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        with self._keeping_what_is_raised():
            for message in result.get(MESSAGES, ()):
                self._hear(self._running[trial_id], message)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._live.discard(trial_id)
        if trial_id not in self._running:
            return  # it rested
        if result is not None and not error:
            self.on_trial_result(trial_id, result)
        self._end(trial_id, "the worker process died" if error else None)

    @property
    def num_live(self) -> int:
        """Slots that are taken, by rests too."""
        return len(self._live)

    @property
    def num_wanted(self) -> int | None:
        """Slots that there is work for; none: for any number. Where nothing has come for a while, those that train."""
        since_s = self._waiting_since
        is_fed = since_s is None or time.monotonic() - since_s < GRACE_S
        return None if is_fed else max(1, len(self._running))

    @property
    def num_unbegun(self) -> int:
        """Segments that no worker has got yet."""
        return sum(running.patience is None for running in list(self._running.values()))

    def find_unbegun(self, before_s: float) -> set[str]:
        """Tune's trials of segments that were handed out before then, and that no worker has got yet."""
        return {
            trial_id
            for trial_id, running in self._running.items()
            if running.patience is None and running.since_s < before_s
        }

    def find_waited_s(self, now_s: float) -> list[float]:
        """For how long segments were handed out that no worker has got yet."""
        return [now_s - running.since_s for running in list(self._running.values()) if running.patience is None]

    def begin(self, trial_id: str) -> None:
        """A worker has got what was suggested."""
        if trial_id in self._running:
            running = self._running[trial_id]
            running.patience = Patience(running.segment, time.monotonic())

    def find_hung(self) -> list[str]:
        """Tune's trials whose workers have hung since this was last asked."""
        now_s, found = time.monotonic(), []
        for trial_id, running in self._running.items():
            if running.patience is not None and not running.hung:
                running.hung = running.patience.hung(now_s)
                found += [trial_id] if running.hung else []
        return found

    def lose_all(self, why: str) -> None:
        """Tune is gone, and every worker with it."""
        for trial_id in list(self._running):
            self._end(trial_id, why)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study holds the truth."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: Tune's snapshots are never used."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of the driver: Tune pickles its searcher, for the restores that we never ask for."""
        return {}

    def _hear(self, running: _Running, message: Message) -> None:
        if running.patience is not None:
            running.patience.hear(message, time.monotonic())
        match message:
            case Report():
                self._on_report(message)
            case Failure():
                running.failures.append(message)

    def _end(self, trial_id: str, lost: str | None) -> None:
        with self._keeping_what_is_raised():
            running = self._running.pop(trial_id)
            self.num_ended += lost is None
            end = SegmentEnd(
                segment=running.segment, failures=tuple(running.failures), lost=lost, hung=running.hung if lost else ()
            )
            self._on_segment_end(end)

    def _rest_s(self, now: float) -> float:
        """A tenth of how long there has been nothing: work waits little, and a long wait makes few Ray trials."""
        self._waiting_since = self._waiting_since or now
        return min(max(REST_SHARE * (now - self._waiting_since), LEAST_REST_S), MOST_REST_S)

    @contextmanager
    def _keeping_what_is_raised(self) -> Iterator[None]:
        """An exception of the driver's ends the run at this hook or, where Tune swallows it, at the next one."""
        if self.raised is not None:
            raise self.raised
        try:
            yield
        except Exception as error:
            self.raised = error
            raise
