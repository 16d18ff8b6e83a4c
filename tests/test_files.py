"""Files in stores, and a whole sweep whose training states lie in one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import fs
from typer.testing import CliRunner

from hpo.cli import app
from hpo.errors import StorageError
from hpo.files import check_writable, discard, fetched, list_files, written
from hpo.folders.cleaning import clean_up
from hpo.harvest.finalize import finalize_sweep
from hpo.harvest.long_run import LongRun
from hpo.paths import SweepPaths, below
from hpo.run import resume_sweep, run_sweep, start_local
from hpo.search.reading import read_trials
from hpo.sweep import Sweep, load_sweep
from hpo.tracking.tracker import SweepStatus
from tests.servers import Postgres, s3
from tests.test_run import Interrupted

SWEEP = """
name: small
data: {kind: digits}
model: {kind: mlp, hidden: [16]}
epochs: 4
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: 'loguniform(1e-3, 1)'}
sampler: {kind: random}
scheduler: {kind: asha, min_epochs: 1, eta: 2}
budget: {trials: 4}
tracking: none
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty one, which the environment says how to reach."""
    with s3("shelf") as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield "s3://shelf"


@pytest.fixture(params=["folder", "s3", "file"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test may put files: each kind of store, and one in which files are renamed."""
    if request.param == "folder":
        return str(tmp_path)
    return f"file://{tmp_path}" if request.param == "file" else f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


def put(address: str, data: bytes) -> None:
    with written(address) as path:
        path.write_bytes(data)


def get(address: str) -> bytes:
    with fetched(address) as path:
        return path.read_bytes()


def listed(address: str) -> set[str]:
    """The files in a store, below `address`."""
    store, path = fs.FileSystem.from_uri(address)
    found = store.get_file_info(fs.FileSelector(path, recursive=True))
    return {entry.path.removeprefix(f"{path}/") for entry in found if entry.type is fs.FileType.File}


def load(folder: Path, *overrides: str) -> Sweep:
    (folder / "small.yaml").write_text(SWEEP)
    return load_sweep(folder / "small.yaml", overrides)


def test_what_is_written_is_read_again_and_can_be_written_over_and_discarded(home: str) -> None:
    address = f"{home}/a folder/{{1}}.bin"

    put(address, b"first")
    put(address, b"second")
    read = get(address)
    discard(address)
    discard(address)

    assert read == b"second"
    with pytest.raises(OSError, match="1"):
        get(address)


@pytest.mark.parametrize("options", ["", "?region=us-east-1"])
def test_the_files_of_a_store_are_listed_by_the_addresses_that_they_have(
    options: str, bucket: str, tmp_path: Path
) -> None:
    paths = SweepPaths(Path("runs/small-1"), remote=f"{bucket}/{tmp_path.name}{options}")
    state = paths.checkpoint(3, 9, generation=2, attempt=1)
    put(state, b"12345")
    put(below(paths.states, "long_run/trial-00003/epoch-00027.safetensors"), b"no trial's")

    files = list_files(paths.states)
    sizes = {file: len(get(file)) for file in files}

    assert files == sizes == {state: 5}


def test_a_file_whose_writing_fails_is_not_there(home: str) -> None:
    address = f"{home}/state.bin"

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), written(address) as path:
        fail(path)

    with pytest.raises(OSError, match="state"):
        get(address)


def test_a_store_that_lets_nothing_go_costs_room_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    discard(f"file://{tmp_path}")  # no file

    assert f"file://{tmp_path} cannot be removed: " in caplog.text


def test_a_bucket_that_is_not_there_is_refused_before_anything_begins(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = load(tmp_path, "storage.checkpoints=s3://nobody/sweeps")

    with pytest.raises(
        StorageError, match=r"s3://nobody/sweeps/small-\w+: checkpoints must go there, but cannot \(Bucket 'nobody' not"
    ):
        run_sweep(sweep, start_executor=start_local)

    assert not (tmp_path / "runs").exists()


def test_a_folder_of_this_machine_needs_no_look(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "new"))

    assert list(tmp_path.iterdir()) == []


def test_options_of_an_address_stay_at_its_end() -> None:
    paths = SweepPaths(Path("runs/small-1"), remote="s3://shelf/a/?region=nowhere")

    assert paths.checkpoint(3, 9, generation=2, attempt=1) == (
        "s3://shelf/a/small-1/trial-00003/epoch-00009-g2-a1.safetensors?region=nowhere"
    )


def test_a_sweep_in_postgresql_and_s3_that_is_paused_and_resumed_equals_one_in_a_folder(
    bucket: str, shared_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = run_sweep(load(tmp_path, "storage.checkpoints=here"), start_executor=start_local)
    sweep = load(tmp_path, f"storage.checkpoints={bucket}/sweeps", f"storage.study={shared_postgres.url}")

    paused = run_sweep(sweep, start_executor=lambda *asked: Interrupted(start_local(*asked), num_reports=6))
    there = resume_sweep(paused.paths, start_executor=start_local)

    assert paused.status is SweepStatus.PAUSED
    trials = read_trials(sweep.storage.place(there.paths), sweep.space)
    local = read_trials(here.paths.study, sweep.space)
    assert [trial.values for trial in trials] == [trial.values for trial in local]
    assert there.bundle is not None
    states = {str(trial.checkpoint).removeprefix(f"{bucket}/sweeps/") for trial in trials}
    assert listed(f"{bucket}/sweeps") == states  # older ones are gone
    assert not (there.paths.root / "checkpoints").exists()
    assert not there.paths.study.exists()


def test_the_long_run_of_a_sweep_in_a_store_outlives_a_cleaning(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = f"storage.checkpoints={bucket}/{tmp_path.name}?region=us-east-1"
    sweep = load(tmp_path, store, "ensemble={kind: greedy, size: 2}", "data={kind: digits, test: 0.2}")
    paths = run_sweep(sweep, start_executor=start_local).paths
    finalize_sweep(paths, datetime.now(UTC), start_local)
    state = LongRun.model_validate_json(paths.long_run.read_bytes()).state
    before = listed(f"{bucket}/{tmp_path.name}")

    freed = clean_up(paths, sweep)

    assert (freed.num_strays, freed.num_states) == (0, 0)
    assert f"{paths.sweep_id}/long_run/" in str(state)
    assert str(state).endswith("?region=us-east-1")
    assert listed(f"{bucket}/{tmp_path.name}") == before


def test_commands_find_a_sweep_where_its_file_says(
    bucket: str, shared_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = load(tmp_path, f"storage.checkpoints={bucket}/sweeps", f"storage.study={shared_postgres.url}")
    sweep_id = run_sweep(sweep, start_executor=start_local).paths.sweep_id

    said = {
        command: CliRunner().invoke(app, [command, sweep_id, *more], catch_exceptions=False)
        for command, more in {"trials": ["--csv"], "best": [], "rungs": [], "doctor": [], "export": ["again"]}.items()
    }

    assert {command: result.exit_code for command, result in said.items()} == dict.fromkeys(said, 0)
    assert len(said["trials"].stdout.splitlines()) == 5
    assert "whole" in said["doctor"].stdout
    assert (tmp_path / "again" / "model.pt2").exists()
