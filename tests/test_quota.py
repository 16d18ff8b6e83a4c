"""Sweeps with a quota for training states, and sweeps whose disk is full: what they find is what others find."""

import errno
import hashlib
import itertools
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import BundleError, DiskFullError
from hpo.export.trial import last_state
from hpo.files import list_files
from hpo.folders.cleaning import clean_up
from hpo.outcome import SweepResult
from hpo.paths import SweepPaths
from hpo.progress import Progress
from hpo.records import EndKind, Goal, TrialRecord
from hpo.results import rank
from hpo.run import resume_sweep, run_sweep, start_local
from hpo.search.reading import read_trials
from hpo.sweep import Sweep, load_sweep
from hpo.tracking.tracker import SweepStatus
from hpo.training.checkpoint import write_checkpoint
from tests.mounting import small_disk
from tests.test_run import Interrupted, a_ray_of_our_own, outcomes

__all__ = ["a_ray_of_our_own", "small_disk"]

SMALL = """
name: small
data: {kind: digits}
model: {kind: mlp, hidden: [64]}
epochs: 4
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: 'loguniform(1e-3, 1)'}
sampler: {kind: random}
scheduler: {kind: asha, min_epochs: 1, eta: 2}
budget: {trials: 24}
resources: {max_concurrent: 1, lanes: 1}
tracking: none
"""
STATE = 47_000
"""About what a state takes: 64 * 64 + 64 + 64 * 10 + 10 weights and as many of momentum, in 4 bytes each; and what the
network predicts of 360 examples, 10 log-probabilities each, in 2 bytes."""


ONE_EPOCH = ("scheduler={kind: none}", "epochs=1", "export.formats=[]", "resources.max_concurrent=auto")


def load(folder: Path, *overrides: str) -> Sweep:
    folder.mkdir(exist_ok=True)
    (folder / "small.yaml").write_text(SMALL)
    return load_sweep(folder / "small.yaml", [f"storage.checkpoints={folder / 'runs'}", *overrides])


def trials_of(done: SweepResult) -> list[TrialRecord]:
    return read_trials(done.paths.study, done.space)


def digests(done: SweepResult) -> dict[str, str]:
    """Of the exported model, but for where it was made."""
    assert done.bundle is not None
    return {"model.pt2": hashlib.sha256((done.bundle / "model.pt2").read_bytes()).hexdigest()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    return run_sweep(load(tmp_path_factory.mktemp("plain")), start_executor=start_local)


def bytes_of(done: SweepResult) -> int:
    return sum(list_files(done.paths.checkpoints).values())


def test_a_quota_changes_nothing_but_what_is_left_on_disk(plain: SweepResult, tmp_path: Path) -> None:
    keep = 22 * STATE
    seen: list[int] = []
    sweep = load(tmp_path, f"storage.keep={keep}")

    def watch(progress: Progress) -> None:
        seen.append(sum(list_files(next(tmp_path.glob("runs/*/checkpoints"))).values()) if progress.num_epochs else 0)

    done = run_sweep(sweep, watch=watch, start_executor=start_local)

    assert bytes_of(plain) > keep
    assert max(seen) <= keep + STATE  # the one that has just been written
    assert bytes_of(done) <= keep
    assert outcomes(trials_of(done)) == outcomes(trials_of(plain))
    assert digests(done) == digests(plain)


def test_without_an_ensemble_the_states_that_are_left_are_those_of_the_best(tmp_path: Path) -> None:
    settings = (*ONE_EPOCH, "ensemble=none", f"storage.keep={8 * STATE}")

    done = run_sweep(load(tmp_path, *settings), start_executor=start_local)

    ranked = rank(trials_of(done), Goal.MAXIMIZE)
    is_there = [trial.checkpoint is not None and Path(trial.checkpoint).exists() for trial in ranked]
    assert is_there == [place < sum(is_there) for place in range(len(ranked))]
    assert sum(is_there) in (7, 8)


def test_a_trial_whose_state_was_dropped_says_so_and_the_best_is_there(tmp_path: Path) -> None:
    done = run_sweep(load(tmp_path, f"storage.keep={18 * STATE}"), start_executor=start_local)

    gone = [trial for trial in trials_of(done) if trial.checkpoint and not Path(trial.checkpoint).exists()]
    with pytest.raises(BundleError) as caught:
        last_state(gone[0])
    assert str(caught.value) == (
        f"trial {gone[0].trial_id} must have its state, but {gone[0].checkpoint} is gone: dropped to keep within "
        "storage.keep, or by hand. Export another trial, such as the best, whose state is always kept; or set this "
        "one's params as the only one of `points`, and train it again."
    )
    assert done.best is not None
    assert last_state(done.best).epoch == 4


def test_a_sweep_with_a_quota_that_is_interrupted_and_resumed_keeps_to_it(plain: SweepResult, tmp_path: Path) -> None:
    keep = 18 * STATE
    sweep = load(tmp_path, f"storage.keep={keep}", "export.formats=[]")
    paused = run_sweep(sweep, start_executor=lambda *begun: Interrupted(start_local(*begun), 31))

    done = resume_sweep(paused.paths, start_executor=start_local)

    assert paused.status is SweepStatus.PAUSED
    assert bytes_of(done) <= keep
    assert outcomes(trials_of(done)) == outcomes(trials_of(plain))


def test_a_full_disk_pauses_and_with_room_again_nothing_has_changed(plain: SweepResult, small_disk: Path) -> None:
    sweep = load(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(23_950_000))

    with pytest.raises(DiskFullError, match=f"{small_disk}: there must be room .* go on with: hpo resume small-"):
        run_sweep(sweep, start_executor=start_local)
    [root] = (small_disk / "runs").iterdir()
    paths = replace(plain.paths, root=root)
    with pytest.raises(DiskFullError):
        resume_sweep(paths, start_executor=start_local)
    left = read_trials(paths.study, sweep.space)
    ballast.unlink()
    done = resume_sweep(paths, start_executor=start_local)

    assert 0 < len(left) < 25
    assert {trial.end.kind for trial in left if trial.end} <= {EndKind.COMPLETE, EndKind.STOPPED}
    assert not list(root.glob("checkpoints/*/.*"))
    assert outcomes(trials_of(done)) == outcomes(trials_of(plain))
    assert digests(done) == digests(plain)


@pytest.mark.parametrize("num_written", [2, 17, 30])
def test_whichever_state_finds_no_room_no_trial_is_blamed(
    num_written: int, plain: SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, write = itertools.count(), write_checkpoint

    def full(*arguments: object) -> None:
        if next(number) == num_written:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("hpo.training.loop.write_checkpoint", full)
    sweep = load(tmp_path, "export.formats=[]")
    with pytest.raises(DiskFullError):
        run_sweep(sweep, start_executor=start_local)
    [root] = (tmp_path / "runs").iterdir()

    done = resume_sweep(replace(plain.paths, root=root), start_executor=start_local)

    assert next(number) > num_written + 2
    assert outcomes(trials_of(done)) == outcomes(trials_of(plain))


LARGE = (
    "model.hidden=[800]",  # 64 * 800 + 800 + 800 * 10 + 10 weights and as many of momentum: 480 kB a state
    "epochs=3",
    "budget.trials=70",
    "scheduler={kind: none}",
    "sampler={kind: random}",
    "resources.max_concurrent=1",
)


@pytest.mark.slow
def test_on_a_small_disk_a_quota_leads_to_the_same_winner_and_its_lack_to_a_pause(
    small_disk: Path, tmp_path: Path, a_ray_of_our_own: None
) -> None:
    roomy = run_sweep(load(tmp_path / "roomy", *LARGE))

    within = run_sweep(load(small_disk, *LARGE, "storage.keep=12MB"))
    found = (outcomes(trials_of(within)), digests(within), bytes_of(within))
    shutil.rmtree(small_disk / "runs")
    with pytest.raises(DiskFullError, match="go on with: hpo resume"):
        run_sweep(load(small_disk, *LARGE))
    [root] = (small_disk / "runs").iterdir()
    paths = SweepPaths(root)
    left = [trial.end.kind for trial in read_trials(paths.study, roomy.space) if trial.end]
    clean_up(paths, load(small_disk, *LARGE), keep=1)
    after = resume_sweep(paths)

    assert bytes_of(roomy) > 25_000_000
    assert found[:2] == (outcomes(trials_of(roomy)), digests(roomy))
    assert found[2] <= 12_000_000
    assert set(left) == {EndKind.COMPLETE}
    assert 20 < len(left) < 70
    assert outcomes(trials_of(after)) == outcomes(trials_of(roomy))
    assert digests(after) == digests(roomy)


def test_on_a_disk_without_a_byte_left_a_sweep_stays_paused_and_can_be_cleaned(
    plain: SweepResult, small_disk: Path
) -> None:
    sweep = load(small_disk, "export.formats=[]")
    paused = run_sweep(sweep, start_executor=lambda *begun: Interrupted(start_local(*begun), 50))
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while ballast.write(bytes(4096)):
            pass

    with pytest.raises(DiskFullError):
        resume_sweep(paused.paths, start_executor=start_local)
    freed = clean_up(paused.paths, sweep, keep=1)
    done = resume_sweep(paused.paths, start_executor=start_local)

    assert freed.num_states > 0
    assert outcomes(trials_of(done)) == outcomes(trials_of(plain))
