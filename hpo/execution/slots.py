"""How many segments may be with workers at once, counted anew as long as a sweep runs: nodes come and go."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at the cluster, by a thread of their own."""
LONGEST_LOOK_S = 15.0
"""How long a last look is waited for: Ray ends the process if it is shut down while a thread asks it something."""


@final
class Slots:
    """A number that follows the cluster."""

    def __init__(self, num: int) -> None:
        """As it is to begin with."""
        self.num = num
        """As of the last look; may be 0."""
        self.is_over = threading.Event()
        """Set when nobody asks for it any more: a look that waits for an answer should give up."""

    @contextmanager
    def kept_up(self, count: Callable[[], int]) -> Iterator[None]:
        """Look now, and again and again. A look that hangs, as a lost cluster may let it, is not waited for long.

        Args:
            count: looks at the cluster; asked in another thread.
        """
        self.num = count()
        self.is_over.clear()
        thread = threading.Thread(target=self._look_after, args=(count,), name="hpo-slots", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            thread.join(LONGEST_LOOK_S)

    def _look_after(self, count: Callable[[], int]) -> None:
        while not self.is_over.wait(LOOK_S):
            try:
                num = count()
            except Exception as error:  # noqa: BLE001 - Ray's have no common base, and none may end a sweep
                logger.warning("The cluster does not say what it holds, which is taken to be what it was: %s", error)
                continue
            if num != self.num:
                logger.info("Segments at once: %d, and were %d.", num, self.num)
            self.num = num
