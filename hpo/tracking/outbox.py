"""Entries on their way to MLflow: a queue, and the thread that empties it."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from hpo.tracking.entries import Entry, merged

LINGER_S = 0.5
"""Between two writes, so that what comes close together is written at once."""
LONGEST_PAUSE_S = 30.0
"""Between two attempts while MLflow is away."""

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

    After any error the store is opened afresh, which finds out what has been written: an attempt
    whose answer was lost is not written twice.
    """

    def __init__(self, open_runs: Callable[[], Runs], linger_s: float = LINGER_S) -> None:
        self._open_runs = open_runs
        self._linger_s = linger_s
        self._runs: Runs | None = None
        self._queue: deque[Entry] = deque()
        self._pending: list[Entry] = []
        self._refused: list[str] = []
        self._problem: str | None = None
        self._is_closing = False
        self._is_abandoned = False
        self._hurry = threading.Event()
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="hpo-outbox", daemon=True)

    def put(self, entry: Entry) -> None:
        """Take an entry; costs microseconds."""
        assert not self._is_closing, "an entry after close() would be lost"
        self._queue.append(entry)
        self._start()

    def run_id(self, trial_id: int, timeout_s: float) -> str | None:
        """The id of a trial's run, as soon as all that was put before is written; none without one in time."""
        self._start()
        self._hurry.set()
        with self._progress:
            self._progress.wait_for(lambda: self._runs is not None and not self._num_waiting(), timeout_s)
        runs = self._runs
        return runs.run_id(trial_id) if runs is not None else None

    def close(self, timeout_s: float) -> str | None:
        """Write what waits, and stop. Returns what could not be written, in words."""
        self._start()
        self._is_closing = True
        self._hurry.set()
        self._thread.join(timeout_s)
        self._is_abandoned = True
        return self._shortfall(timeout_s)

    def _start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def _work(self) -> None:
        pause_s = self._linger_s
        while not self._is_abandoned:
            self._hurry.wait(self._linger_s if self._is_closing else pause_s)
            self._hurry.clear()
            is_written = self._write_all()
            pause_s = self._linger_s if is_written else min(2 * pause_s, LONGEST_PAUSE_S)
            with self._progress:
                self._progress.notify_all()
            if self._is_closing and is_written and not self._num_waiting():
                return

    def _write_all(self) -> bool:
        """Whether all that was waiting is written."""
        while self._queue:
            self._pending.append(self._queue[0])
            self._queue.popleft()
        try:
            self._runs = self._runs or self._open_runs()
            self._pending = merged(self._pending)
            while self._pending:
                self._write(self._runs, self._pending[0])
                self._pending.pop(0)
        except Exception as error:  # noqa: BLE001
            # SQLite, sockets, HTTP and MLflow itself have no common base. None of them may end the thread: the error
            # is logged, kept for close(), and the entries wait.
            self._note(error)
            self._runs = None
            return False
        if self._problem is not None:
            _log.info("MLflow answers again; everything that waited is written")
        self._problem = None
        return True

    def _write(self, runs: Runs, entry: Entry) -> None:
        try:
            runs.write(entry)
        except RefusedError as error:
            _log.warning("MLflow refuses an entry for ever: %s", error)
            self._refused.append(str(error))

    def _note(self, error: Exception) -> None:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        if self._problem is None:
            num_waiting = len(self._pending)
            _log.warning("MLflow cannot be written to, %d entries wait, training goes on: %s", num_waiting, problem)
        self._problem = problem

    def _num_waiting(self) -> int:
        return len(self._queue) + len(self._pending)

    def _shortfall(self, timeout_s: float) -> str | None:
        sentences = []
        if num_waiting := self._num_waiting():
            why = self._problem or "MLflow is slow; give it more time"
            sentences.append(f"{num_waiting} entries were not written to MLflow within {timeout_s:g} s ({why}).")
        if self._refused:
            sentences.append(f"{len(self._refused)} entries were refused by MLflow, the first with: {self._refused[0]}")
        return " ".join(sentences) or None
