"""Segments that sleep, and a queue that hands them out and again what was lost."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import ray
from ray import cloudpickle

from hpo.records import Idle, Message, Report, Segment, SegmentEnd, TrialSpec

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests


@dataclass(frozen=True)
class Sleeper:
    """Each epoch sleeps; reported is the node, the metric's name."""

    epoch_s: float

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        return self._train

    def _train(self, segment: Segment) -> Iterator[Message]:
        node = ray.get_runtime_context().get_node_id()
        for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
            time.sleep(self.epoch_s)
            for spec in segment.cohort:
                yield Report(trial_id=spec.trial_id, epoch=epoch, metrics={node: 1.0})


@dataclass
class Queue:
    """Hands out as many segments as it is told to, and again what was lost; acts at each report."""

    num_left: int
    act: Callable[["Queue"], None]
    reports: list[Report] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    lost: list[Segment] = field(default_factory=list)
    num_lost: int = 0
    num_running: int = 0
    num_begun: int = 0

    def next_segment(self) -> Segment | Idle:
        if not self.lost and self.num_left == 0:
            return Idle.WAIT if self.num_running else Idle.DONE
        self.num_running += 1
        if self.lost:
            return self.lost.pop()
        self.num_left -= 1
        self.num_begun += 1
        spec = TrialSpec(trial_id=self.num_begun, recipe="")
        return Segment(segment_id=self.num_begun, cohort=(spec,), from_epoch=0, to_epoch=2, seed=0)

    def on_report(self, report: Report) -> None:
        self.reports.append(report)
        self.act(self)

    def on_segment_end(self, end: SegmentEnd) -> None:
        self.num_running -= 1
        if end.lost is None:
            self.done.append(end.segment.segment_id)
        else:
            self.num_lost += 1
            self.lost.append(end.segment)

    @property
    def nodes(self) -> Counter[str]:
        """How often each was reported."""
        return Counter(name for report in self.reports for name in report.metrics)
