"""Entries on their way to MLflow: a file beside the sweep, and the thread that empties it."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from hpo.tracking.entries import Entry, from_line, merged, to_line
from hpo.tracking.spool import Spool, num_waiting, open_spool
from hpo.uris import masked

LINGER_S = 0.5
"""Between two writes, so that what comes close together is written at once."""
LONGEST_PAUSE_S = 30.0
"""Between two attempts while MLflow is away."""
AWAY_S = 5.0
"""Without an answer, after which an absent store gets one more attempt, and as long for it, before nobody waits."""

POLL_S = 0.02
"""Between two looks at whether what someone waits for has happened."""

_log = logging.getLogger(__name__)


class RefusedError(Exception):
    """The store will never take an entry: to try again is useless."""


class Runs(Protocol):
    """The runs of one sweep."""

    def write(self, entry: Entry) -> None:
        """Write an entry; what is there already is not written again.

        Raises:
            RefusedError: if it can never be written. Every other error is worth another attempt.
        """

    def run_id(self, trial_id: int) -> str | None:
        """The id of a trial's run, if there is one."""


class Outbox:
    """Writes entries from a thread of its own, so that a slow or absent store never holds up training.

    An entry is in the file when `put` returns, and stays there until the store has it, whatever becomes of this
    process; one made for the same file goes on with what waits. After any error the store is opened afresh, which
    finds out what has been written: an attempt whose answer was lost is not written twice.
    """

    def __init__(
        self, path: Path, open_runs: Callable[[], Runs], *, remedy: str = "", linger_s: float = LINGER_S
    ) -> None:
        """The file is opened by the first call, and gone after the last, if all is written.

        Args:
            path: of the file.
            open_runs: connects to the store.
            remedy: what to do about entries that `close` leaves behind.
            linger_s: between two writes.
        """
        self._path = path
        self._open_runs = open_runs
        self._remedy = remedy
        self._linger_s = linger_s
        self._spool: Spool | None = None
        self._runs: Runs | None = None
        self._pending: list[Entry] = []
        self._num_pending_bytes = 0
        self._refused: list[str] = []
        self._problem: str | None = None
        self._answered_s = self._failed_s = -math.inf
        self._began_s = math.inf
        self._is_closing = False
        self._is_abandoned = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name="hpo-outbox", daemon=True)

    def put(self, entry: Entry) -> None:
        """Take an entry; costs some 40 microseconds.

        Raises:
            OutboxOwnedError: by the first call, if another process holds the file.
            OSError: if the disk has no room for it.
        """
        assert not self._is_closing, "an entry after close() would be lost"
        self._started().append(to_line(entry))

    def run_id(self, trial_id: int, timeout_s: float) -> str | None:
        """The id of a trial's run, as soon as all that was put before is written; none without one in time."""
        spool = self._started()
        self._wait(lambda: self._runs is not None and not spool.num_bytes(), timeout_s)
        runs = self._runs
        return runs.run_id(trial_id) if runs is not None else None

    @property
    def problem(self) -> str | None:
        """Why the last attempt to write has failed; none if it has not."""
        return self._problem

    def close(self, timeout_s: float) -> str | None:
        """Write what waits, and stop. Returns what could not be written, in words."""
        self._started()
        self._is_closing = True
        is_given_up = self._wait(lambda: not self._thread.is_alive(), timeout_s)
        self._is_abandoned = True
        self._hurry.set()
        return self._shortfall("" if is_given_up else f" within {timeout_s:g} s")

    def _started(self) -> Spool:
        if self._spool is None:
            self._spool = open_spool(self._path)
            self._answered_s = time.monotonic()
            self._thread.start()
        return self._spool

    def _wait(self, is_done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait while there is hope. Returns whether it was given up before the time was."""
        asked_s = time.monotonic()
        self._hurry.set()
        while not is_done() and time.monotonic() - asked_s < timeout_s:
            if self._is_away(asked_s):
                return True
            self._thread.join(POLL_S)
        return False

    def _is_away(self, asked_s: float) -> bool:
        """Whether nothing was answered for long, and the attempt that is made because someone asks fails, or hangs."""
        now_s = time.monotonic()
        is_known = self._problem is not None and now_s - self._answered_s > AWAY_S
        return is_known and (self._failed_s > asked_s or now_s - self._began_s > AWAY_S)

    def _work(self) -> None:
        spool, pause_s = self._started(), self._linger_s
        while not self._is_abandoned:
            self._hurry.wait(self._linger_s if self._is_closing else pause_s)
            self._hurry.clear()
            is_written = self._write_all(spool)
            pause_s = self._linger_s if is_written else min(2 * pause_s, LONGEST_PAUSE_S)
            if self._is_closing and is_written and not spool.num_bytes():
                break
        spool.close()

    def _write_all(self, spool: Spool) -> bool:
        """Whether all that was waiting is written."""
        self._began_s = time.monotonic()
        try:
            self._runs = self._runs or self._open_runs()
            num_due = spool.num_bytes()
            while num_due > 0 and (num_done := self._write_head(spool, self._runs)):
                num_due -= num_done
        except Exception as error:  # noqa: BLE001
            # SQLite, sockets, HTTP and MLflow itself have no common base. None of them may end the thread: the error
            # is logged, kept for close(), and the entries wait.
            self._note(error)
            self._runs = None
            return False
        finally:
            self._began_s = math.inf
        return True

    def _write_head(self, spool: Spool, runs: Runs) -> int:
        """Write what waits longest, or what an error has left of it. Returns how many bytes are done with."""
        if not self._pending:
            head = spool.head()
            self._num_pending_bytes = len(head)
            self._pending = merged(self._read(head))
        while self._pending:
            if self._is_abandoned:
                return 0
            self._write(runs, self._pending[0])
            self._pending.pop(0)
        spool.advance(self._num_pending_bytes)
        return self._num_pending_bytes

    def _read(self, lines: bytes) -> Iterator[Entry]:
        for line in lines.splitlines():
            try:
                entry = from_line(line)
                _check_own(entry.artifact, self._path.parent)
                yield entry
            except ValueError as error:
                self._refuse(f"{self._path}: {error}")

    def _write(self, runs: Runs, entry: Entry) -> None:
        try:
            runs.write(entry)
        except RefusedError as error:
            self._refuse(str(error))
        self._answered_s = time.monotonic()
        if self._problem is not None:
            _log.info("MLflow answers again")
        self._problem = None

    def _refuse(self, why: str) -> None:
        _log.warning("MLflow refuses an entry for ever: %s", masked(why))
        self._refused.append(masked(why))

    def _note(self, error: Exception) -> None:
        problem = masked(f"{type(error).__name__}: {error}".splitlines()[0])
        if self._problem is None:
            _log.warning("MLflow cannot be written to, what it misses waits in %s: %s", self._path, problem)
        self._problem = problem
        self._failed_s = time.monotonic()

    def _shortfall(self, within: str) -> str | None:
        sentences = []
        if num := num_waiting(self._path):
            why = self._problem or "MLflow is slow; give it more time"
            sentences.append(f"{num} entries were not written to MLflow{within} ({why}). {self._remedy}".rstrip())
        if self._refused:
            sentences.append(f"{len(self._refused)} entries were refused by MLflow, the first with: {self._refused[0]}")
        return " ".join(sentences) or None


def _check_own(artifact: Path | None, folder: Path) -> None:
    """What lies outside the sweep's folder is none of MLflow's business, whoever has named it."""
    if artifact is not None and not artifact.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"an artifact must lie in {folder}, but one is {artifact}")
