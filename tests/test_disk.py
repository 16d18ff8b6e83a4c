"""How a full disk is known: by disks that are full."""

import errno
import sqlite3
from pathlib import Path

import pytest
import torch
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from safetensors.torch import save_file

from hpo.disk import free_bytes, is_for_want_of_room, want_of_room_told
from hpo.errors import DiskFullError, HpoError
from hpo.paths import SweepPaths
from tests.mounting import SIZE, small_disk

__all__ = ["small_disk"]


def raised_by_system() -> BaseException:
    with pytest.raises(OSError, match="No space left") as caught:
        Path("/dev/full").write_text("something")
    return caught.value


def raised_by_optuna(folder: Path) -> BaseException:
    """SQLite says the same of a database that may grow no more as of a disk."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(folder / "study.db", check_same_thread=False)
        connection.execute("PRAGMA max_page_count=60")
        return connection

    storage = RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE])
    with pytest.raises(Exception, match="commit") as caught:
        storage.set_study_user_attr(study_id, "note", "n" * 1_000_000)
    return caught.value


def test_a_full_disk_is_known_whoever_meets_it(tmp_path: Path) -> None:
    told = HpoError("cannot be written")
    told.__cause__ = raised_by_system()

    assert is_for_want_of_room(raised_by_system())
    assert is_for_want_of_room(raised_by_optuna(tmp_path))
    assert is_for_want_of_room(told)
    assert is_for_want_of_room(OSError(errno.EDQUOT, "quota of the user"))


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), sqlite3.OperationalError("locked"), ValueError("x")])
def test_other_errors_are_no_full_disks(error: Exception) -> None:
    assert not is_for_want_of_room(error)


def test_a_state_for_which_there_is_no_room_is_a_full_disk_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(Exception, match="No space left") as caught:
        save_file({"x": torch.zeros(10_000_000)}, small_disk / "state")

    assert is_for_want_of_room(caught.value)


def test_room_is_asked_for_where_a_folder_will_be_made(small_disk: Path) -> None:
    assert free_bytes(small_disk / "a" / "b") == free_bytes(small_disk) <= SIZE + 4096


def test_who_needs_room_is_told_where_how_much_and_how_to_go_on(small_disk: Path) -> None:
    paths = SweepPaths(small_disk / "digits-a1b2")
    file = Path(paths.checkpoint(0, 1, 0, 0))
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(12_300_000))

    with pytest.raises(DiskFullError) as caught, want_of_room_told(paths):
        (small_disk / "more").write_bytes(bytes(30_000_000))
    (small_disk / "more").unlink()
    with pytest.raises(ValueError, match="else"), want_of_room_told(paths):
        raise ValueError("something else")

    assert str(caught.value) == (
        f"{small_disk}: there must be room for what a sweep writes, but the file system is full (0 B free; trials' "
        "states there: 1, of up to 12.3 MB). digits-a1b2 is paused, and nothing is lost: make room, be it with "
        "`hpo gc digits-a1b2 --keep SIZE`, and go on with: hpo resume digits-a1b2"
    )
