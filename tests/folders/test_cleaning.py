"""What `hpo gc` lets go, and what it never does."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.export.trial import last_state
from hpo.files import list_files
from hpo.folders.cleaning import clean_up
from hpo.outcome import SweepResult
from hpo.paths import SweepPaths
from hpo.run import resume_sweep, run_sweep, start_local
from hpo.search.reading import read_trials
from hpo.search.storage import owned
from tests.test_quota import load
from tests.test_run import Interrupted, outcomes

NO_MODEL = "export.formats=[]"
POPULATION = ("scheduler={kind: pbt, population: 8, every: 1}", "budget={}", NO_MODEL)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    return run_sweep(load(tmp_path_factory.mktemp("done"), NO_MODEL), start_executor=start_local)


@pytest.fixture
def paths(done: SweepResult, tmp_path: Path) -> SweepPaths:
    """A copy elsewhere, as of one that was moved."""
    return SweepPaths(Path(shutil.copytree(done.paths.root, tmp_path / "moved")))


def names(paths: SweepPaths) -> list[str]:
    return [Path(state).name for state in list_files(paths.checkpoints)]


def test_a_sweep_that_keeps_all_loses_nothing_that_belongs_to_a_trial(done: SweepResult, paths: SweepPaths) -> None:
    before = list_files(paths.checkpoints)

    freed = clean_up(paths, load(paths.root.parent))

    assert list_files(paths.checkpoints) == before
    assert (freed.num_states, freed.num_strays, freed.num_bytes) == (0, 0, 0)
    assert freed.left_bytes == sum(before.values())


def test_half_written_files_strays_and_bookkeeping_go(done: SweepResult, paths: SweepPaths) -> None:
    before = list_files(paths.checkpoints)
    stray = Path(paths.checkpoint(3, 2, 0, 7))
    waiting = paths.root / ".outbox.jsonl.abcd1234"  # a doctor may be writing it
    in_ray = paths.ray / "experiment" / "state.json"
    half = [paths.root / ".leaderboard.csv.ab_d1234", stray.parent / ".epoch-00004-g0-a0.safetensors.xyzxyz12"]
    for file in (stray, waiting, in_ray, *half, paths.root / ".best.abcdefgh" / "fresh" / "model.pt2"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(100))

    freed = clean_up(paths, load(paths.root.parent))

    assert list_files(paths.checkpoints) == before
    assert [path.name for path in paths.root.glob(".*")] == [waiting.name]
    assert not paths.ray.exists()
    assert (freed.num_states, freed.num_strays, freed.num_bytes) == (0, 4, 500)


def test_with_a_limit_the_best_stay(done: SweepResult, paths: SweepPaths) -> None:
    before = sum(list_files(paths.checkpoints).values())

    freed = clean_up(paths, load(paths.root.parent), keep=200_000)

    left = list_files(paths.checkpoints)
    assert done.best is not None
    assert Path(str(done.best.checkpoint)).name in names(paths)
    assert sum(left.values()) == freed.left_bytes <= 200_000
    assert freed.num_bytes == before - freed.left_bytes
    assert freed.num_states == 24 - len(left)
    assert all(next(folder.iterdir(), None) for folder in paths.checkpoints.iterdir())


def test_the_limit_of_the_file_holds_and_the_winner_stays_whatever_it_is(done: SweepResult, paths: SweepPaths) -> None:
    paths.ensemble.unlink()

    freed = clean_up(paths, load(paths.root.parent, "storage.keep=1"))

    assert freed.num_states == 23
    assert done.best is not None
    assert last_state(done.best).epoch == 4
    assert len(names(paths)) == 1


def test_members_of_the_ensemble_stay_whatever_the_limit_is(done: SweepResult, paths: SweepPaths) -> None:
    assert done.best is not None
    assert done.ensemble is not None
    own = {done.best.trial_id, *(member.trial_id for member in done.ensemble.members)}

    clean_up(paths, load(paths.root.parent, "storage.keep=1"))

    assert len(own) > 1
    assert {folder.name for folder in paths.checkpoints.iterdir()} == {f"trial-{trial_id:05d}" for trial_id in own}


def test_a_sweep_that_is_cleaned_while_it_pauses_goes_on_as_if_nothing_had_happened(
    done: SweepResult, tmp_path: Path
) -> None:
    sweep = load(tmp_path, NO_MODEL)
    paused = run_sweep(sweep, start_executor=lambda *begun: Interrupted(start_local(*begun), 31))

    freed = clean_up(paused.paths, sweep, keep=1)
    again = resume_sweep(paused.paths, start_executor=start_local)

    assert freed.num_states > 0
    assert outcomes(read_trials(again.paths.study, again.space)) == outcomes(read_trials(done.paths.study, done.space))


def test_a_population_that_is_cleaned_while_it_pauses_keeps_the_states_that_children_may_need(tmp_path: Path) -> None:
    undisturbed = run_sweep(load(tmp_path / "a", *POPULATION), start_executor=start_local)
    sweep = load(tmp_path / "b", *POPULATION)
    paused = run_sweep(sweep, start_executor=lambda *begun: Interrupted(start_local(*begun), 21))

    clean_up(paused.paths, sweep, keep=1)
    again = resume_sweep(paused.paths, start_executor=start_local)

    expected, found = (outcomes(read_trials(each.paths.study, each.space)) for each in (undisturbed, again))
    assert found == expected


def test_a_sweep_that_a_driver_has_is_left_alone(paths: SweepPaths) -> None:
    before = list_files(paths.checkpoints)

    with owned(paths.lock), pytest.raises(StudyError, match="a study has one driver at a time"):
        clean_up(paths, load(paths.root.parent), keep=1)

    assert list_files(paths.checkpoints) == before


def test_without_a_study_no_state_is_touched(paths: SweepPaths) -> None:
    before = list_files(paths.checkpoints)
    paths.study.unlink()

    freed = clean_up(replace(paths), load(paths.root.parent), keep=1)

    assert list_files(paths.checkpoints) == before
    assert freed.num_states == 0
    assert not paths.study.exists()
