"""Nothing is lost while the store is away, and nobody waits for it."""

import logging
import threading

import pytest

from hpo.tracking.entries import Entry
from hpo.tracking.outbox import Outbox, RefusedError

LINGER_S = 0.001


class MemoryRuns:
    """Runs in memory, behind a store that can be away."""

    def __init__(self) -> None:
        self.written: list[Entry] = []
        self.num_failures = 0
        """Attempts that fail from now on."""
        self.is_stuck = False
        self.release = threading.Event()

    def open(self) -> "MemoryRuns":
        return self

    def write(self, entry: Entry) -> None:
        if self.is_stuck:
            self.release.wait(10)
        if self.num_failures:
            self.num_failures -= 1
            raise ConnectionError("no route to host")
        if "refused" in entry.tags:
            raise RefusedError("the name is wrong")
        self.written.append(entry)

    def run_id(self, trial_id: int) -> str | None:
        return f"run-{trial_id}" if any(entry.trial_id == trial_id for entry in self.written) else None


@pytest.fixture
def runs() -> MemoryRuns:
    return MemoryRuns()


@pytest.fixture
def outbox(runs: MemoryRuns) -> Outbox:
    return Outbox(runs.open, linger_s=LINGER_S)


def test_all_that_was_put_is_written_when_close_returns(outbox: Outbox, runs: MemoryRuns) -> None:
    for number in range(50):
        outbox.put(Entry(trial_id=number))

    shortfall = outbox.close(timeout_s=10)

    assert shortfall is None
    assert [entry.trial_id for entry in runs.written] == list(range(50))


def test_a_store_that_comes_back_gets_all_in_order(outbox: Outbox, runs: MemoryRuns) -> None:
    runs.num_failures = 3
    for number in range(5):
        outbox.put(Entry(trial_id=number))

    shortfall = outbox.close(timeout_s=10)

    assert shortfall is None
    assert [entry.trial_id for entry in runs.written] == [0, 1, 2, 3, 4]


def test_an_absent_store_is_warned_of_once(outbox: Outbox, runs: MemoryRuns, caplog: pytest.LogCaptureFixture) -> None:
    runs.num_failures = 3
    with caplog.at_level(logging.WARNING):
        outbox.put(Entry(trial_id=0))
        outbox.close(timeout_s=10)

    assert len(caplog.records) == 1
    assert "1 entries wait, training goes on: ConnectionError: no route to host" in caplog.text


def test_close_says_what_a_store_that_stays_away_has_not_got(outbox: Outbox, runs: MemoryRuns) -> None:
    runs.num_failures = 1_000_000
    outbox.put(Entry(trial_id=0))
    outbox.put(Entry(trial_id=1))

    shortfall = outbox.close(timeout_s=0.1)

    assert shortfall is not None
    assert "2 entries were not written to MLflow within 0.1 s (ConnectionError: no route to host)" in shortfall


def test_a_stuck_store_holds_up_neither_put_nor_close(outbox: Outbox, runs: MemoryRuns) -> None:
    runs.is_stuck = True
    outbox.put(Entry(trial_id=0))

    shortfall = outbox.close(timeout_s=0.1)

    runs.release.set()
    assert shortfall is not None
    assert "MLflow is slow" in shortfall


def test_a_refused_entry_is_told_and_does_not_block_the_rest(outbox: Outbox, runs: MemoryRuns) -> None:
    outbox.put(Entry(trial_id=0, tags={"refused": "yes"}))
    outbox.put(Entry(trial_id=1))

    shortfall = outbox.close(timeout_s=10)

    assert shortfall == "1 entries were refused by MLflow, the first with: the name is wrong"
    assert [entry.trial_id for entry in runs.written] == [1]


def test_run_id_waits_for_what_was_put_before(outbox: Outbox) -> None:
    outbox.put(Entry(trial_id=7))

    assert outbox.run_id(7, timeout_s=10) == "run-7"
    assert outbox.run_id(8, timeout_s=10) is None


def test_run_id_gives_up_on_an_absent_store(outbox: Outbox, runs: MemoryRuns) -> None:
    runs.num_failures = 1_000_000
    outbox.put(Entry(trial_id=7))

    assert outbox.run_id(7, timeout_s=0.05) is None
