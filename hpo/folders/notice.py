"""What a driver says of itself, beside the study: that it drives, since when, what it waits for, and what it has."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import final

from hpo.errors import HpoError
from hpo.outcome import status_after
from hpo.paths import written_beside
from hpo.progress import EnsembleSoFar
from hpo.search.storage import Owner
from hpo.tracking.tracker import SweepStatus

LOOK_S = 1.0
"""Between two looks at what is waited for, by a thread of their own: nothing is written per trial or report."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Without its driver it says that the driver died; that there is one, only the lock knows."""

    driver: str
    """As the lock names it."""
    began_s: float
    """When it began, in seconds since the epoch."""
    elapsed_s: float
    """How long drivers before it drove."""
    waits: tuple[str, ...] = ()
    """What work waits for, a sentence each."""
    ensemble: EnsembleSoFar | None = None
    """None before there is one, and where the sweep asks for none."""


def read_notice(path: Path) -> Notice | None:
    """What the last driver said; none if it left everything in order.

    Raises:
        HpoError: if no driver wrote it.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        found = tree.get("ensemble")
        ensemble = None if found is None else EnsembleSoFar(**found)
        return Notice(**{**tree, "waits": tuple(tree["waits"]), "ensemble": ensemble})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HpoError(f"{path}: must be what a driver wrote, but is not ({error!r}). Remove it.") from error


@contextmanager
def posted(
    path: Path,
    elapsed_s: float,
    waits: Callable[[], Sequence[str]],
    ensemble: Callable[[], EnsembleSoFar | None] = lambda: None,
) -> Iterator[None]:
    """Keep a notice at `path` up to date; it goes when the sweep can go on, and stays when the driver breaks down.

    Args:
        path: of the file.
        elapsed_s: how long drivers before this one drove.
        waits: what work waits for; asked in another thread.
        ensemble: as it was last selected; likewise.
    """
    notice = Notice(driver=str(Owner.this()), began_s=time.time(), elapsed_s=elapsed_s)
    board = _Board(path, notice, lambda: replace(notice, waits=tuple(waits()), ensemble=ensemble()))
    try:
        yield
    except Exception as error:
        board.close(is_orderly=status_after(error) is not SweepStatus.FAILED)
        raise
    board.close(is_orderly=True)


@final
class _Board:
    """Where the notice hangs, and the thread that looks after it."""

    def __init__(self, path: Path, notice: Notice, look: Callable[[], Notice]) -> None:
        self._path = path
        self._notice = notice
        self._look = look
        self._is_over = threading.Event()
        self._writing = threading.Lock()
        _write(path, notice)
        self._thread = threading.Thread(target=self._look_after, name="hpo-notice", daemon=True)
        self._thread.start()

    def close(self, *, is_orderly: bool) -> None:
        """Write no more. A look that hangs, as a lost cluster may let it, is not waited for."""
        with self._writing:
            self._is_over.set()
            if is_orderly:
                self._path.unlink(missing_ok=True)
        self._thread.join(LOOK_S)

    def _look_after(self) -> None:
        while not self._is_over.wait(LOOK_S):
            try:
                self._say(self._look())
            except Exception as error:  # noqa: BLE001 - Ray and the disk have no common base; neither may end a sweep
                _log.warning("%s: what is waited for cannot be told: %s", self._path, error)
                return

    def _say(self, notice: Notice) -> None:
        with self._writing:
            if notice != self._notice and not self._is_over.is_set():
                self._notice = notice
                _write(self._path, notice)


def _write(path: Path, notice: Notice) -> None:
    with written_beside(path) as beside:
        beside.write_text(json.dumps(asdict(notice)) + "\n", encoding="utf-8")
