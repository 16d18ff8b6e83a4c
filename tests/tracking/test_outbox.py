"""Nothing is lost while the store is away, and nobody waits for it."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.errors import OutboxOwnedError
from hpo.tracking.entries import Entry, Point, to_line
from hpo.tracking.outbox import Outbox, RefusedError
from hpo.tracking.spool import open_spool

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


def drain_when_free(path: Path, runs: MemoryRuns) -> str | None:
    """An outbox that gave up holds its file until its thread has ended."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return Outbox(path, runs.open, linger_s=LINGER_S).close(timeout_s=10)
        except OutboxOwnedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def runs() -> MemoryRuns:
    return MemoryRuns()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.jsonl"


@pytest.fixture
def outbox(runs: MemoryRuns, path: Path) -> Outbox:
    return Outbox(path, runs.open, remedy="Try again.", linger_s=LINGER_S)


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
    assert "what it misses waits in" in caplog.text


def test_close_says_what_a_store_that_stays_away_has_not_got(outbox: Outbox, runs: MemoryRuns) -> None:
    runs.num_failures = 1_000_000
    outbox.put(Entry(trial_id=0))
    outbox.put(Entry(trial_id=1))

    shortfall = outbox.close(timeout_s=0.1)

    assert shortfall is not None
    assert (
        "2 entries were not written to MLflow within 0.1 s (ConnectionError: no route to host). Try again." in shortfall
    )


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


def test_nobody_waits_for_a_store_that_has_been_away_for_long(
    outbox: Outbox, runs: MemoryRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.tracking.outbox.AWAY_S", 0.1)
    runs.num_failures = 1_000_000
    outbox.put(Entry(trial_id=0))
    time.sleep(0.3)

    begun = time.monotonic()
    run_id, shortfall = outbox.run_id(0, timeout_s=600), outbox.close(timeout_s=600)

    assert time.monotonic() - begun < 300
    assert run_id is None
    assert shortfall is not None
    assert shortfall == "1 entries were not written to MLflow (ConnectionError: no route to host). Try again."


def test_the_file_is_gone_when_all_is_written_and_stays_when_not(outbox: Outbox, runs: MemoryRuns, path: Path) -> None:
    runs.num_failures = 1_000_000
    outbox.put(Entry(trial_id=0))
    outbox.close(timeout_s=0.05)
    was_left = path.exists()

    runs.num_failures = 0
    shortfall = drain_when_free(path, runs)

    assert was_left
    assert shortfall is None
    assert not path.exists()


def test_a_killed_process_loses_nothing_that_was_put(runs: MemoryRuns, path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from hpo.tracking.entries import Entry\n"
        "from hpo.tracking.outbox import Outbox\n"
        f"outbox = Outbox(Path({str(path)!r}), lambda: time.sleep(60))\n"
        "for trial_id in range(10**6):\n"
        "    outbox.put(Entry(trial_id=trial_id, tags={'long': 'x' * (trial_id % 500)}))\n"
        "    print(trial_id, flush=True)\n"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", code], env={"PYTHONPATH": root}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2000)]
        process.kill()
        said += process.stdout.readlines()

    shortfall = Outbox(path, runs.open, linger_s=LINGER_S).close(timeout_s=10)

    assert shortfall is None
    assert len(runs.written) in (len(said), len(said) + 1)
    assert [entry.trial_id for entry in runs.written] == list(range(len(runs.written)))


def test_one_process_at_a_time_writes_a_file(outbox: Outbox, runs: MemoryRuns, path: Path) -> None:
    outbox.put(Entry(trial_id=0))
    with pytest.raises(OutboxOwnedError, match="another is at it: the sweep's driver, or `hpo doctor`. Wait"):
        Outbox(path, runs.open).put(Entry(trial_id=1))

    assert outbox.close(timeout_s=10) is None


def test_a_file_outside_the_sweep_is_not_sent(runs: MemoryRuns, path: Path) -> None:
    spool = open_spool(path)
    for artifact in (Path("/etc/passwd"), path.parent / ".." / "secret", path.parent / "best"):
        spool.append(to_line(Entry(trial_id=None, artifact=artifact)))
    spool.close()

    shortfall = Outbox(path, runs.open, linger_s=LINGER_S).close(timeout_s=10)

    assert shortfall is not None
    assert f"an artifact must lie in {path.parent}, but one is /etc/passwd" in shortfall
    assert [entry.artifact for entry in runs.written] == [path.parent / "best"]


def test_a_damaged_line_is_told_and_does_not_block_the_rest(runs: MemoryRuns, path: Path) -> None:
    spool = open_spool(path)
    for line in (to_line(Entry(trial_id=0)), b"\0\0\0\n", b"[1]\n", to_line(Entry(trial_id=1)), b'{"trial_id": 2, "ta'):
        spool.append(line)
    spool.close()

    shortfall = Outbox(path, runs.open, linger_s=LINGER_S).close(timeout_s=10)

    assert shortfall is not None
    assert "2 entries were refused by MLflow, the first with:" in shortfall
    assert "must be a line that hpo wrote, but got" in shortfall
    assert [entry.trial_id for entry in runs.written] == [0, 1]


def test_a_put_costs_its_thread_little_more_than_the_text_of_the_line(outbox: Outbox) -> None:
    points = tuple(Point(name=f"metric_{place}", value=0.1234567 * place, step=3, time_ms=10**12) for place in range(6))
    entries = [Entry(trial_id=number, points=points) for number in range(2000)]

    def seconds(put: Callable[[Entry], object]) -> float:
        begun = time.thread_time()
        for entry in entries:
            put(entry)
        return time.thread_time() - begun

    to_put, to_format = seconds(outbox.put), seconds(to_line)

    outbox.close(timeout_s=10)
    assert to_put < 10 * to_format
