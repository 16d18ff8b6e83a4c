"""How many segments may be with workers at once, counted anew as long as a sweep runs: nodes come and go."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at the cluster, by a thread of their own."""


@final
class Slots:
    """A number that follows the cluster."""

    def __init__(self, count: Callable[[], int]) -> None:
        """As the cluster is now.

        Args:
            count: looks at it; asked in another thread.
        """
        self.num = count()
        """As of the last look."""
        self._count = count

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """Look again and again. A look that hangs, as a lost cluster may let it, is not waited for."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._look_after, args=(is_over,), name="hpo-slots", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(LOOK_S)

    def _look_after(self, is_over: threading.Event) -> None:
        while not is_over.wait(LOOK_S):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - Ray's have no common base, and none may end a sweep
                logger.warning("The cluster does not say what it holds, which is taken to be what it was: %s", error)

    def _look(self) -> None:
        num = self._count()
        if num != self.num:
            logger.info("The cluster holds %d segments at once, and held %d.", num, self.num)
        self.num = num
