"""Studies in PostgreSQL: many in a database, each with one driver, through crashes of the server."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from optuna.storages import RDBStorage

from hpo.errors import StudyError, UriError
from hpo.records import Goal, Segment
from hpo.search import patient
from hpo.search.database import owner_of
from hpo.search.places import Shared
from hpo.search.reading import read_trials
from hpo.search.storage import Owner
from tests.driving import Bench, Message, Workers, make_sweep, well
from tests.search.opening import SPACE, open_study, read_with_optuna
from tests.servers import Postgres, Wire, postgres

SWEEP = make_sweep(num_trials=3, epochs=3)


@pytest.fixture
def place(shared_postgres: Postgres, tmp_path: Path) -> Shared:
    return Shared(shared_postgres.url, tmp_path.name)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """One that nobody else needs."""
    with postgres() as server:
        yield server


def execute(url: str, statement: str) -> None:
    engine = sqlalchemy.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
    )
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(statement))


def test_a_study_has_one_driver_at_a_time_and_others_look_on(place: Shared) -> None:
    with open_study(place) as study:
        study.ask(2)

        assert owner_of(place) == Owner.this()
        with pytest.raises(
            StudyError, match=rf"{place.name}: a study has one driver at a time, but process \d+ on .+ owns it\. Wait"
        ):
            open_study(place)
        assert read_trials(place, SPACE) == study.trials()

    assert owner_of(place) is None
    with open_study(place) as study:
        assert len(study.trials()) == 2


def test_a_driver_that_is_killed_leaves_the_study_free_and_its_trials_there(place: Shared) -> None:
    source = (
        "import os, signal, sys\n"
        "from hpo.search.places import Shared\n"
        "from tests.search.opening import open_study\n"
        "open_study(Shared(*sys.argv[1:])).ask(2)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", source, place.url, place.name]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=False)

    with open_study(place) as study:
        assert [trial.trial_id for trial in study.trials()] == [0, 1]


def test_sweeps_that_begin_at_once_in_an_empty_database_go_on_side_by_side(
    shared_postgres: Postgres, tmp_path: Path
) -> None:
    execute(shared_postgres.url, "CREATE DATABASE empty")
    places = [Shared(shared_postgres.url_of("empty"), f"sweep-{number}") for number in range(3)]
    benches = [Bench(tmp_path, place=place) for place in places]
    expected = Bench(tmp_path / "alone").drive(SWEEP, Workers(well))

    with ThreadPoolExecutor(3) as pool:
        driven = list(pool.map(lambda bench: bench.drive(SWEEP, Workers(well)), benches))

    assert driven == [expected] * 3
    assert [read_trials(place, SWEEP.space) for place in places] == driven


@pytest.mark.parametrize("is_late", [False, True], ids=["before the server got it", "after"])
def test_commits_whose_answers_are_lost_are_made_once(
    shared_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    monkeypatch.setattr(patient, "FIRST_PAUSE_S", 0.01)
    expected = Bench(tmp_path / "undisturbed").drive(SWEEP, Workers(well))
    with closing(Wire(shared_postgres.port, is_late=is_late)) as wire:
        bench = Bench(tmp_path, place=Shared(shared_postgres.url_of(port=wire.port), tmp_path.name))
        with bench.open(SWEEP) as study:
            wire.every = 3
            driver = bench.driver(SWEEP, study, num_slots=1)
            Workers(well).run(driver.next_segment, driver.on_report, driver.on_segment_end)
            driven = study.trials()

    stored = Shared(shared_postgres.url, tmp_path.name)
    assert wire.num_breaks > 10
    assert driven == read_trials(stored, SWEEP.space) == expected
    assert len(read_with_optuna(stored)) == len(expected)


def test_a_server_that_crashes_in_the_middle_of_a_sweep_and_comes_back_changes_nothing(
    server: Postgres, tmp_path: Path
) -> None:
    place = Shared(server.url, "sweep")
    expected = Bench(tmp_path / "undisturbed").drive(SWEEP, Workers(well))
    back = threading.Timer(0.5, server.start)

    def crashing(segment: Segment) -> Iterator[Message]:
        for number, message in enumerate(well(segment)):
            yield message
            if number == 1 and segment.segment_id == 1:
                server.kill()
                back.start()

    driven = Bench(tmp_path, place=place).drive(SWEEP, Workers(crashing))

    assert driven == expected == read_trials(place, SWEEP.space)


def test_a_server_that_stays_away_pauses_the_sweep_and_the_next_driver_goes_on(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "PATIENCE_S", 0.3)
    first, second = (Bench(tmp_path, place=Shared(server.url, "sweep")) for _ in range(2))
    expected = Bench(tmp_path / "undisturbed").drive(SWEEP, Workers(well))

    def crashing(segment: Segment) -> Iterator[Message]:
        yield from well(segment)
        if segment.segment_id == 2:
            server.kill()

    with pytest.raises(
        StudyError,
        match=r"sweep: the database must answer within 0\.3 s, but did not \(.*refused.*\)\. The sweep has paused with",
    ):
        first.drive(SWEEP, Workers(crashing))
    server.start()

    assert second.drive(SWEEP, Workers(well)) == expected


def test_a_driver_that_lost_the_study_to_another_writes_no_more(place: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "PATIENCE_S", 0.3)
    with open_study(place) as first:
        execute(
            place.url,
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'",
        )
        with open_study(place) as second:
            second.ask(1)

            with pytest.raises(
                StudyError, match=r"must answer within 0\.3 s, but did not \(.+ process \d+ on .+ owns it"
            ):
                first.ask(1)

    assert len(read_trials(place, SPACE)) == 1


def test_a_study_whose_making_was_cut_short_is_made_again(place: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RDBStorage, "set_study_user_attr", die)
        with pytest.raises(KeyboardInterrupt):
            open_study(place)
    with pytest.raises(StudyError, match=r"must hold the study, but does not\. Name the database"):
        read_trials(place, SPACE)

    with open_study(place) as study:
        assert study.trials() == []


def test_a_study_made_for_another_goal_is_refused(place: Shared) -> None:
    open_study(place).close()

    with pytest.raises(StudyError, match=rf"{place.name}: goal: must be what the study was made for, maximize, but is"):
        open_study(place, goal=Goal.MINIMIZE)


def test_tables_of_another_version_of_optuna_are_refused(shared_postgres: Postgres) -> None:
    execute(shared_postgres.url, "CREATE DATABASE old")
    place = Shared(shared_postgres.url_of("old"), "sweep")
    open_study(place).close()
    execute(place.url, "UPDATE alembic_version SET version_num = 'v0.9.0.a'")

    with pytest.raises(StudyError, match=r"/old: must fit the installed Optuna, but does not\. The runtime"):
        open_study(place)


def test_to_look_for_a_study_makes_no_tables(shared_postgres: Postgres) -> None:
    execute(shared_postgres.url, "CREATE DATABASE bare")
    place = Shared(shared_postgres.url_of("bare"), "sweep")

    with pytest.raises(StudyError, match="must hold the study"):
        read_trials(place, SPACE)

    execute(place.url, "CREATE TABLE studies (name text)")  # which would be refused if it were there


def test_a_database_that_is_not_there_is_refused_and_its_password_is_not_shown(
    shared_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_PASSWORD", "s3cret{0}")
    url = shared_postgres.url.replace("postgres@", "me:${HPO_PASSWORD}@")

    with pytest.raises(StudyError, match=r'must answer, but does not \(.*role "me" does not exist\)\. Start') as told:
        open_study(Shared(url, "sweep"))

    assert "s3cret" not in str(told.value)


def test_a_password_that_the_environment_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPO_PASSWORD", raising=False)

    with pytest.raises(UriError, match="the environment must set HPO_PASSWORD"):
        open_study(Shared("postgresql://me:${HPO_PASSWORD}@host/db", "sweep"))


def test_an_address_with_mistakes_is_told() -> None:
    with pytest.raises(StudyError, match=r"localhost:x/db: must be as postgresql://user@host:5432/database, but"):
        open_study(Shared("postgresql://localhost:x/db", "sweep"))


def test_without_the_driver_for_postgresql_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(StudyError, match=r"needs the package psycopg, which is not installed\. pip install 'hpo\[post"):
        open_study(Shared("postgresql://localhost/db", "sweep"))
