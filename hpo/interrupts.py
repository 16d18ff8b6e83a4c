"""Ctrl-C, and what a machine sends when it wants its resources back."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

PATIENCE = 3
"""Ctrl-C so often ends the process whatever it does."""


@dataclass
class Interrupts:
    """What has come so far."""

    num: int = 0
    """Of either kind."""
    num_by_hand: int = 0
    """Ctrl-C."""

    @property
    def is_cancelled(self) -> bool:
        """Whether someone pressed Ctrl-C again."""
        return self.num_by_hand > 1


@contextmanager
def interrupts(on_first: Callable[[], None]) -> Iterator[Interrupts]:
    """Let SIGTERM do what Ctrl-C does, and count both; the first calls `on_first`, which may raise.

    In any thread but the main one, to which signals belong, nothing changes.
    """
    seen = Interrupts()

    def handle(number: int, _: FrameType | None) -> None:
        seen.num += 1
        seen.num_by_hand += number == signal.SIGINT
        if seen.num_by_hand >= PATIENCE:
            raise KeyboardInterrupt
        if seen.num == 1:
            on_first()

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
