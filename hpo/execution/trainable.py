"""The worker's side of Ray Tune: a class that trains one segment after the other in one warm process."""

import time
from collections.abc import Iterator
from typing import Any

from ray import tune

from hpo.execution.executor import Workload
from hpo.records import Begun, Message, Segment

FLUSH_S = 0.5
"""Messages travel together that came within this time, and with `Begun`, which does not wait: Ray Tune needs
milliseconds for each result.
"""
MESSAGES = "messages"
SEGMENT = "segment"
"""What to train; or, in seconds, how long to rest before asking again."""


class SegmentTrainable(tune.Trainable):
    """One Ray Tune trial is one segment; with `reuse_actors` the process, data and programs stay for the next."""

    def setup(  # type: ignore[override]  # `tune.with_parameters` adds the rest
        self, config: dict[str, Any], workload: Workload, num_threads: int, use_gpu: bool
    ) -> None:
        """Open the workload once per process, then take the first segment."""
        self._train = workload.open(num_threads=num_threads, use_gpu=use_gpu)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next segment."""
        match new_config[SEGMENT]:
            case Segment() as segment:
                self._messages = self._train(segment)
            case float() as rest_s:
                self._messages = _rest(rest_s)
        return True

    def step(self) -> dict[str, Any]:
        """All messages of the next moments; the last result is `done`."""
        started = time.monotonic()
        messages: list[Message] = []
        for message in self._messages:
            messages.append(message)
            if isinstance(message, Begun) or time.monotonic() - started >= FLUSH_S:
                return {MESSAGES: messages, "done": False}
        return {MESSAGES: messages, "done": True}


def _rest(rest_s: float) -> Iterator[Message]:
    """Says nothing, in its time."""
    time.sleep(rest_s)
    yield from ()
