"""What runs by itself, as something that is asked for one thing at a time."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Told = TypeVar("Told")
PATIENCE_S = 5.0
"""How long to wait for somebody who waits to be asked, and never will be again, to clean up."""


class AbandonedError(BaseException):
    """Nobody asks any more: raised where something was told last, or is told next."""


def in_turns(run: Callable[[Callable[[Told], None]], object]) -> Iterator[Told]:
    """Everything that `run` tells, which works in a thread of its own while it is asked, and waits while it is not.

    What it raises comes out of here. Who stops asking while it works lets it run on to what it tells next.
    """
    said: SimpleQueue[tuple[Told] | BaseException | None] = SimpleQueue()
    asked: SimpleQueue[bool] = SimpleQueue()

    def tell(told: Told) -> None:
        said.put((told,))
        if not asked.get():
            raise AbandonedError

    def work() -> None:
        try:
            run(tell)
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody listens
            said.put(error)
        else:
            said.put(None)

    thread = Thread(target=work, daemon=True)
    thread.start()
    waits = False
    try:
        while (answer := said.get()) is not None:
            if isinstance(answer, BaseException):
                raise answer
            waits = True
            yield answer[0]
            waits = False
            asked.put(True)
    finally:
        asked.put(False)
        if waits:
            thread.join(PATIENCE_S)
