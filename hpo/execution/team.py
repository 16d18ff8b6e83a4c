"""Workers that train each trial together, one rank each; whoever asks them trains nothing, and so never waits in vain.

A rank that raises leaves the others in the middle of an exchange, which nothing ends gracefully: they are ended, and a
fresh team trains the rest.
"""

import math
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import ray
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from hpo.execution.executor import SharedWorkload
from hpo.records import Begun, Failure, Message, Seat, Segment

GRACE_S = 3.0
"""How long after a rank has failed the others are heard: what trials before have come to, and that one has died, which
is then the cause."""


@dataclass(frozen=True, kw_only=True)
class TeamWorkload:
    """The workload of a worker that has a team train, in the placement group that it is in: one bundle for each."""

    shared: ray.ObjectRef[SharedWorkload]
    """What the team trains; it stays in the object store, once for each node."""
    num_workers: int
    cpus: float
    """Of each."""
    gpus: float
    """Of each."""

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        """See `Workload`; the team is ready when this returns."""
        return _Team(self, num_threads, use_gpu=use_gpu).train


@final
class _Team:
    """Ranks that live as long as their owner, which is the process that made this, or until one of them fails."""

    def __init__(self, workload: TeamWorkload, num_threads: int, *, use_gpu: bool) -> None:
        self._workload = workload
        self._how = {"num_threads": num_threads, "use_gpu": use_gpu}
        self._ranks = self._gathered()

    def train(self, segment: Segment) -> Iterator[Message]:
        """What the first rank says, and the first failure on any; after it, a fresh team has the trials that are left.

        Raises:
            ray.exceptions.RayActorError: if a rank has died.
        """
        left, is_over = {spec.trial_id: spec for spec in segment.cohort}, False
        while left and not is_over:
            is_over = True
            for message in self._messages(replace(segment, cohort=tuple(left.values()))):
                yield message
                if not isinstance(message, Begun):  # one at a time: who has said something is through, or has failed
                    left.pop(message.trial_id, None)
                if isinstance(message, Failure):
                    self._ranks = self._gathered()
                    is_over = message.is_disk_full

    def _gathered(self) -> list[Any]:
        asked = self._workload
        actor = ray.remote(num_cpus=asked.cpus, num_gpus=asked.gpus)(_Rank)
        ranks: list[Any] = [actor.options(scheduling_strategy=_bundle(n)).remote() for n in range(asked.num_workers)]
        host, port = ray.get(ranks[0].listen.remote())
        seats = [Seat(rank=n, number=len(ranks), host=host, port=port) for n in range(len(ranks))]
        ray.get([rank.open.remote(asked.shared, seat, **self._how) for rank, seat in zip(ranks, seats, strict=True)])
        return ranks

    def _messages(self, segment: Segment) -> Iterator[Message]:
        """Until all are through, or one has failed, which comes last: all of them are then ended."""
        streams = [rank.train.remote(segment) for rank in self._ranks]
        failure, until_s = None, math.inf
        while streams and (ready := ray.wait(streams, num_returns=1, timeout=_left_s(until_s))[0]):
            match _next(ready[0]):
                case None:
                    streams.remove(ready[0])
                case Failure() as message:
                    streams.remove(ready[0])
                    failure, until_s = failure or message, min(until_s, time.monotonic() + GRACE_S)
                case message:
                    yield message
        if failure is not None:
            for rank in self._ranks:
                ray.kill(rank)
            yield failure


class _Rank:
    """One process of a team."""

    def listen(self) -> tuple[str, int]:
        """Where the others are to meet this one, on the node's own address and no other."""
        self._listening = socket.create_server((get_node_ip_address(), 0))
        host, port = self._listening.getsockname()
        return host, port

    def open(self, workload: SharedWorkload, seat: Seat, *, num_threads: int, use_gpu: bool) -> None:
        self._is_first = seat.rank == 0
        if self._is_first:
            seat = replace(seat, listening=self._listening.detach())
        self._train = workload.open_rank(seat, num_threads=num_threads, use_gpu=use_gpu)

    @ray.method(num_returns="streaming")
    def train(self, segment: Segment) -> Iterator[Message]:
        """What is said, by the first; by the others that they have failed, with which each ends."""
        for message in self._train(segment):
            if self._is_first or isinstance(message, Failure):
                yield message
            if isinstance(message, Failure):
                return


def _left_s(until_s: float) -> float | None:
    return None if math.isinf(until_s) else max(0.0, until_s - time.monotonic())


def _bundle(rank: int) -> PlacementGroupSchedulingStrategy:
    group = get_current_placement_group()
    assert group is not None
    return PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)


def _next(stream: Any) -> Message | None:
    """None after the last."""
    try:
        message: Message = ray.get(next(stream))
    except StopIteration:
        return None
    return message
