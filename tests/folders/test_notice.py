"""What a driver leaves beside the study while it runs, and what of it stays."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import HpoError, StudyError
from hpo.folders import notice
from hpo.folders.notice import posted, read_notice
from hpo.progress import EnsembleSoFar
from hpo.search.storage import Owner

ENSEMBLE = EnsembleSoFar(num_members=3, nll=0.25, accuracy=0.875, single_nll=0.5, single_accuracy=0.75)
SPOILT = json.dumps({"driver": "a", "began_s": 0.0, "elapsed_s": 0.0, "waits": [], "ensemble": {"nll": 0.25}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notice.json"


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "LOOK_S", 0.01)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waits_at(path: Path) -> tuple[str, ...] | None:
    said = read_notice(path)
    return None if said is None else said.waits


def test_a_notice_follows_what_is_waited_for_and_is_gone_when_all_is_in_order(path: Path) -> None:
    waits = ["one"]
    with posted(path, 60.0, lambda: waits):
        said = read_notice(path)
        wait_until(lambda: waits_at(path) == ("one",))
        waits.append("two")
        wait_until(lambda: waits_at(path) == ("one", "two"))

    assert said is not None
    assert (said.driver, said.elapsed_s) == (str(Owner.this()), 60.0)
    assert not path.exists()


def test_a_notice_follows_the_ensemble_so_far(path: Path) -> None:
    found: list[EnsembleSoFar | None] = [None]
    with posted(path, 0.0, list, lambda: found[-1]):
        before = read_notice(path)
        found += [replace(ENSEMBLE, num_members=1), ENSEMBLE]
        wait_until(lambda: (said := read_notice(path)) is not None and said.ensemble == ENSEMBLE)

    assert before is not None
    assert before.ensemble is None


def test_a_notice_is_not_written_again_while_nothing_changes(path: Path) -> None:
    num_looks = 0

    def waits() -> list[str]:
        nonlocal num_looks
        num_looks += 1
        return ["the same"]

    with posted(path, 0.0, waits):
        wait_until(lambda: num_looks > 2)
        before = path.stat().st_ino
        wait_until(lambda: num_looks > 9)

        assert path.stat().st_ino == before  # a file that is renamed to it would be another


@pytest.mark.parametrize(
    ("error", "stays"),
    [(StudyError("away"), False), (OSError(28, "No space left on device"), False), (KeyError("a mistake"), True)],
)
def test_a_notice_stays_only_when_the_driver_breaks_down(path: Path, error: Exception, stays: bool) -> None:
    with pytest.raises(type(error)), posted(path, 0.0, list):
        raise error

    assert path.exists() is stays


def test_a_look_that_fails_ends_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def waits() -> list[str]:
        raise ConnectionError("the cluster is gone")

    with posted(path, 0.0, waits):
        wait_until(lambda: "what is waited for cannot be told: the cluster is gone" in caplog.text)

    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["{", "[]", json.dumps({"driver": "a", "waits": 1}), json.dumps({"waits": []}), SPOILT]
)
def test_a_file_that_no_driver_wrote_is_refused(path: Path, text: str) -> None:
    path.write_text(text)

    with pytest.raises(HpoError, match=r"notice\.json: must be what a driver wrote, but is not .* Remove it"):
        read_notice(path)
