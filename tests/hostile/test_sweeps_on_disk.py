"""Sweeps on disk that were made to harm, or damaged: what reads them says so, and leaves everything as it is."""

import fcntl
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.hostile.conftest import Sandbox, sweep_file

Spoil = Callable[[Path], object]


def put(content: bytes) -> Spoil:
    return lambda path: path.write_bytes(content)


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def cut(share: float) -> Spoil:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def scribble(path: Path) -> None:
    """Over every page but the first."""
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + b"\x5a" * (len(raw) - 4096))


def sql(*statements: str) -> Spoil:
    def run(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return run


def other_database(path: Path) -> None:
    path.unlink()
    sql("CREATE TABLE customers (name TEXT)")(path)


def told(key: str, value: object) -> Spoil:
    """Something else under a key that hpo keeps with trials."""
    return sql(f"UPDATE trial_user_attributes SET value_json = '{json.dumps(value)}' WHERE key = '{key}'")


STUDIES: dict[str, Spoil] = {
    "nothing": Path.unlink,
    "a_folder": put_folder,
    "a_link_to_itself": put_loop,
    "an_empty_file": put(b""),
    "text": put(b"a study"),
    "a_pickle": put(b"cos\nsystem\n(S'touch ../canary'\ntR."),
    "a_torn_file": cut(0.5),
    "a_header_alone": cut(0.01),
    "a_scribbled_file": scribble,
    "another_database": other_database,
    "no_study": sql("DELETE FROM studies"),
    "two_studies": sql("INSERT INTO studies (study_name) VALUES ('other')"),
    "no_trials_table": sql("DROP TABLE trials"),
    "another_schema": sql("ALTER TABLE trials RENAME COLUMN number TO position"),
    "a_state_of_its_own": sql("UPDATE trials SET state = 'os.system'"),
    "a_distribution_that_is_no_json": sql("UPDATE trial_params SET distribution_json = '__import__(\"os\")'"),
    "a_distribution_of_its_own": sql('UPDATE trial_params SET distribution_json = \'{"name": "Evil"}\''),
    "an_end_that_is_no_json": sql("UPDATE trial_user_attributes SET value_json = 'import os' WHERE key = 'end'"),
    "an_end_of_its_own": told("end", {"kind": "os.system", "epoch": 1}),
    "an_end_without_an_epoch": told("end", {"kind": "complete"}),
    "an_end_that_is_a_list": told("end", [1]),
    "states_that_are_a_number": told("kept", {"epoch": 2, "metrics": {}, "best_epoch": None, "states": 3}),
    "states_of_no_epoch": told("kept", {"epoch": 2, "metrics": {}, "best_epoch": None, "states": {"x": "y"}}),
}
FILES: dict[str, Spoil] = {
    "nothing_in_it": put(b""),
    "nul_bytes": put(bytes(100)),
    "invalid_utf_8": put(b"\xff\xfe"),
    "a_pickle": put(b"cos\nsystem\n(S'touch ../canary'\ntR."),
    "a_python_object": put(b"model: !!python/object/apply:os.system ['touch ../canary']\n"),
    "another_sweep": put(sweep_file(space="{optimizer.no: 'uniform(0, 1)'}").encode()),
    "deep_nesting": put(b"a: " + b"[" * 5000),
}


@pytest.mark.parametrize("command", ["trials", "best"])
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_refused(name: str, command: str, sandbox: Sandbox) -> None:
    STUDIES[name](sandbox.sweep / "study.db")

    sandbox.check_refuses(f"{command} {sandbox.sweep_id}", "study.db", "must")


@pytest.mark.parametrize("name", FILES)
def test_a_resolved_file_is_refused(name: str, sandbox: Sandbox) -> None:
    FILES[name](sandbox.sweep / "resolved.yaml")

    sandbox.check_refuses(f"trials {sandbox.sweep_id}", "resolved.yaml")


@pytest.mark.parametrize("spoil", [put_folder, put_loop], ids=["a_folder", "a_link_to_itself"])
def test_a_resolved_file_must_be_a_file(spoil: Spoil, sandbox: Sandbox) -> None:
    spoil(sandbox.sweep / "resolved.yaml")

    sandbox.check_refuses(f"trials {sandbox.sweep_id}", "no sweep begins with")


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"{}", b"[1]", b"[" * 100_000], ids=["nothing", "no_text", "a_mapping", "numbers", "deep"]
)
def test_a_list_of_folders_is_refused(content: bytes, sandbox: Sandbox) -> None:
    (sandbox.sweep / "code.json").write_bytes(content)

    sandbox.check_refuses(f"trials {sandbox.sweep_id}", "code.json: must be a list of folders")


def test_a_study_that_another_process_holds_is_told_as_such(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo.search.storage.BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(sandbox.sweep / "study.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN EXCLUSIVE")

        sandbox.check_refuses(f"trials {sandbox.sweep_id}", "study.db", "Another process holds it")


@pytest.mark.parametrize(
    "state", ["/etc/passwd", "../../../small.yaml", "{sweep}/study.db", "{sweep}/checkpoints/../study.db", "s3://a/b"]
)
@pytest.mark.parametrize("command", ["export {id} out", "export {id}/0 out", "prune {id} out --amounts 0"])
def test_a_state_outside_the_folder_is_not_read(state: str, command: str, sandbox: Sandbox) -> None:
    kept = {"epoch": 2, "metrics": {}, "best_epoch": None, "states": {"2": state.format(sweep=sandbox.sweep)}}
    told("kept", kept)(sandbox.sweep / "study.db")

    sandbox.check_refuses(command.format(id=sandbox.sweep_id), "study.db", "every state must lie in", "checkpoints")


CHECKPOINTS: dict[str, Spoil] = {
    "nothing": Path.unlink,
    "a_folder": put_folder,
    "an_empty_file": put(b""),
    "a_pickle": put(b"cos\nsystem\n(S'touch ../canary'\ntR."),
    "a_torn_file": cut(0.5),
    "a_header_alone": cut(0.05),
    "a_header_that_is_too_long": put((2**60).to_bytes(8, "little") + b"{}"),
    "a_header_that_is_no_json": put((4).to_bytes(8, "little") + b"evil"),
    "a_tensor_beyond_the_file": put(
        (73).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [1000000], "data_offsets": [0, 4000000]}}'
    ),
    "no_metadata": put((2).to_bytes(8, "little") + b"{}"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_refused(name: str, sandbox: Sandbox) -> None:
    [*_, file] = sorted((sandbox.sweep / "checkpoints" / "trial-00000").iterdir())
    CHECKPOINTS[name](file)

    rule = "must have its state" if name == "nothing" else "must be a checkpoint that a trial wrote"
    sandbox.check_refuses(f"export {sandbox.sweep_id}/0 out", str(file), rule)


def test_a_checkpoint_of_another_network_is_refused(sandbox: Sandbox) -> None:
    resolved = sandbox.sweep / "resolved.yaml"
    resolved.write_text(resolved.read_text().replace("- 8\n", "- 9\n").replace("[8]", "[9]"))

    sandbox.check_refuses(f"export {sandbox.sweep_id}/0 out", "trial 0")


@pytest.mark.parametrize(
    "which", ["..", "../runs/{id}", "{sweep}", "*", "{id}/../..", "{id}/-1", "{id}/0x0", "a" * 5000, "{id}/"]
)
def test_a_name_finds_no_sweep_elsewhere(which: str, sandbox: Sandbox) -> None:
    sandbox.check_refuses(f"trial {which.format(id=sandbox.sweep_id, sweep=sandbox.sweep)}")


@pytest.mark.parametrize("which", ["..", ".", "*", "{sweep}", "a" * 5000, "$(touch ../canary)"])
@pytest.mark.parametrize("command", ["trials", "resume", "pause", "cancel", "extend --trials 9"])
def test_an_id_names_no_folder_elsewhere(which: str, command: str, sandbox: Sandbox) -> None:
    which = which.format(sweep=sandbox.sweep).replace(" ", "_")

    sandbox.check_refuses(f"{command} {which}", "no sweep begins with")


def test_a_lock_that_names_no_driver_is_told(sandbox: Sandbox) -> None:
    lock = sandbox.sweep / "driver.lock"
    lock.write_text("process 1; rm -rf /")
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        sandbox.check_refuses(f"pause {sandbox.sweep_id}", "driver.lock", "must name the driver that holds it")
