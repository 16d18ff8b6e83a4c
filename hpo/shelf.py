"""Checkpoints on disk, and how long each must stay there."""

from collections import Counter
from collections.abc import Callable
from typing import final


@final
class Shelf:
    """Keeps a checkpoint until everybody who needed it has let go of it."""

    def __init__(self, discard: Callable[[str], None]) -> None:
        self._discard = discard
        self._num_holders: Counter[str] = Counter()

    def hold(self, checkpoint: str) -> None:
        """Somebody needs it."""
        self._num_holders[checkpoint] += 1

    def release(self, checkpoint: str) -> None:
        """Somebody needs it no more; the last one's is discarded."""
        self._num_holders[checkpoint] -= 1
        if self._num_holders[checkpoint] == 0:
            del self._num_holders[checkpoint]
            self._discard(checkpoint)
