"""Lines wait in a file, whatever becomes of the process that put them there."""

import errno
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpo.errors import OutboxOwnedError
from hpo.tracking import spool as module
from hpo.tracking.spool import num_waiting, open_spool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.jsonl"


def test_lines_wait_until_they_are_done_with(path: Path) -> None:
    spool = open_spool(path)
    for number in range(3):
        spool.append(b"%d\n" % number)
    spool.advance(len(b"0\n"))

    assert spool.head() == b"1\n2\n"
    assert num_waiting(path) == 2


def test_a_file_left_behind_goes_on_where_it_was_without_its_torn_end(path: Path) -> None:
    spool = open_spool(path)
    spool.append(b"one\ntwo\nthr")
    spool.advance(len(b"one\n"))
    spool.close()

    again = open_spool(path)
    again.append(b"four\n")

    assert again.head() == b"two\nfour\n"


def test_a_damaged_first_line_takes_every_line_again(path: Path) -> None:
    spool = open_spool(path)
    spool.append(b"one\n")
    spool.advance(4)
    spool.append(b"two\n")
    spool.close()
    content = path.read_bytes()
    path.write_bytes(b"\0" * 30 + content[30:])

    again = open_spool(path)

    assert again.head() == b"one\ntwo\n"


def test_a_process_killed_while_it_made_the_file_leaves_none(path: Path) -> None:
    path.write_bytes(b'{"done": ')

    spool = open_spool(path)
    spool.append(b"one\n")

    assert spool.head() == b"one\n"


def test_a_file_whose_beginning_is_done_with_is_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPENT_BYTES", 1000)
    spool = open_spool(path)
    for number in range(1000):
        spool.append(b"%099d\n" % number)
        if number >= 10:
            spool.advance(100)

    sizes = path.stat().st_size
    left = spool.head().split()

    assert sizes < 4000
    assert list(map(int, left)) == list(range(990, 1000))
    with pytest.raises(OutboxOwnedError):
        open_spool(path)
    spool.close()
    assert open_spool(path).head().split() == left


def test_a_line_longer_than_the_head_is_taken_whole(path: Path) -> None:
    spool = open_spool(path)
    line = b"x" * (3 * module.HEAD_BYTES) + b"\n"
    spool.append(line)

    assert spool.head() == line


def test_a_full_disk_leaves_no_half_line(path: Path) -> None:
    spool = open_spool(path)
    spool.append(b"one\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 2, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            spool.append(b"three\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    spool.append(b"two\n")

    assert caught.value.errno == errno.ENOSPC
    assert spool.head() == b"one\ntwo\n"


def test_nobody_writes_into_a_file_that_its_last_owner_has_removed(path: Path) -> None:
    def own_in_turns(num_turns: int) -> list[int]:
        waiting: list[int] = []
        while len(waiting) < num_turns:
            try:
                spool = open_spool(path)
            except OutboxOwnedError:
                continue
            spool.append(b"one\n")
            waiting.append(num_waiting(path))
            spool.advance(4)
            spool.close()
        return waiting

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(own_in_turns, [100] * 4))

    assert found == [[1] * 100] * 4
    assert not path.exists()
