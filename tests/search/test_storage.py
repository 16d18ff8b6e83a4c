import fcntl
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.records import Goal
from hpo.search.storage import owner_of
from hpo.spaces import Domain, RandInt
from tests.search.opening import SPACE, open_study


def test_a_study_has_one_driver_at_a_time(tmp_path: Path) -> None:
    with (
        open_study(tmp_path),
        pytest.raises(StudyError, match=r"a study has one driver at a time, but process \d+ on .+ owns it\. Wait"),
    ):
        open_study(tmp_path)


def test_who_only_looks_is_taken_for_no_driver_and_keeps_none_out(tmp_path: Path) -> None:
    open_study(tmp_path).close()
    with (tmp_path / "driver.lock").open("r+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        seen = owner_of(tmp_path / "driver.lock")
        leaving = threading.Timer(0.03, fcntl.flock, (looking, fcntl.LOCK_UN))
        leaving.start()
        open_study(tmp_path).close()
        leaving.join()

    assert seen is None


def test_close_lets_another_driver_have_the_study(tmp_path: Path) -> None:
    open_study(tmp_path).close()

    with open_study(tmp_path) as study:
        assert study.trials() == []


def test_a_refused_open_lets_another_driver_have_the_study(tmp_path: Path) -> None:
    open_study(tmp_path).close()
    with pytest.raises(StudyError):
        open_study(tmp_path, goal=Goal.MINIMIZE)

    with open_study(tmp_path) as study:
        assert study.trials() == []


def test_a_driver_that_is_killed_leaves_the_study_free_and_its_trials_there(tmp_path: Path) -> None:
    source = (
        "import os, pathlib, signal, sys\n"
        "from tests.search.opening import open_study\n"
        "open_study(pathlib.Path(sys.argv[1])).ask(2)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", source, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)

    with open_study(tmp_path) as study:
        assert [trial.trial_id for trial in study.trials()] == [0, 1]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("name: digits\n" * 100)

    with pytest.raises(StudyError, match=r"study\.db: must be the database of a study, but cannot be read as one"):
        open_study(tmp_path)

    assert (tmp_path / "study.db").read_text() == "name: digits\n" * 100


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")

    with pytest.raises(StudyError, match="no such table: studies"):
        open_study(tmp_path)

    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("runs",)]


def test_a_study_of_another_version_of_optuna_is_refused(tmp_path: Path) -> None:
    open_study(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")

    with pytest.raises(StudyError, match=r"study\.db: must fit the installed Optuna, but does not\. The runtime"):
        open_study(tmp_path)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {**SPACE, "model.depth": RandInt(min=1, max=6)},
            "space: model.depth: max: must be what the study was made for, 5, but is now 6. ",
        ),
        (
            {**SPACE, "batch_size": RandInt(min=1, max=6)},
            "space: batch_size: must be what the study was made for, nothing, but is now distribution=randint, ",
        ),
    ],
    ids=["another domain", "another path"],
)
def test_a_study_made_for_another_space_is_refused(tmp_path: Path, space: Mapping[str, Domain], message: str) -> None:
    open_study(tmp_path).close()

    with pytest.raises(StudyError, match=re.escape(message)):
        open_study(tmp_path, space=space)


def test_a_study_made_for_another_goal_is_refused(tmp_path: Path) -> None:
    open_study(tmp_path).close()

    with pytest.raises(
        StudyError, match=r"goal: must be what the study was made for, maximize, but is now minimize\. Set it back"
    ):
        open_study(tmp_path, goal=Goal.MINIMIZE)


def test_a_study_made_for_another_metric_is_refused(tmp_path: Path) -> None:
    open_study(tmp_path).close()

    with pytest.raises(StudyError, match="metric: must be what the study was made for, val_accuracy, but is now f1"):
        open_study(tmp_path, metric="f1")


def test_the_order_of_the_space_does_not_matter(tmp_path: Path) -> None:
    open_study(tmp_path).close()
    with open_study(tmp_path, space=dict(reversed(list(SPACE.items())))) as study:
        [reversed_] = study.ask(1)
    with open_study(tmp_path / "again") as study:
        [straight] = study.ask(1)

    assert reversed_.params == straight.params


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "50% {of} what?#"

    with open_study(folder) as study:
        study.ask(1)

    assert sorted(path.name for path in folder.iterdir()) == ["driver.lock", "study.db"]
