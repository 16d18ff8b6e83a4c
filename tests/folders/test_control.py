from pathlib import Path

import pytest

from hpo.errors import HpoError
from hpo.folders.control import extend_sweep, stop_sweep
from hpo.folders.status import State, list_states
from hpo.paths import SweepPaths, list_sweeps
from hpo.progress import Progress
from hpo.records import EndKind
from hpo.run import resume_sweep, run_sweep, start_local
from hpo.sweep import Sweep, load_sweep
from hpo.tracking.tracker import SweepStatus

SWEEP = """
data: {kind: digits}
model: {kind: mlp, hidden: [4]}
epochs: 2
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: "loguniform(1e-3, 1)"}
scheduler: {kind: none}
sampler: {kind: random}
budget: {trials: 200}
ensemble: none
export: {formats: []}
tracking: none
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    (tmp_path / "small.yaml").write_text(SWEEP)
    return load_sweep(tmp_path / "small.yaml", [f"storage.checkpoints={tmp_path / 'runs'}"])


def stopping(sweep: Sweep) -> list[int]:
    """Run it, and stop it once two trials have ended; how many there are then."""
    seen: list[int] = []

    def watch(progress: Progress) -> None:
        if sum(progress.ends.values()) >= 2 and not seen:
            seen.append(progress.num_trials)
            stop_sweep(only(sweep))

    done = run_sweep(sweep, watch=watch, start_executor=start_local)
    assert done.status is SweepStatus.FINISHED
    return [*seen, len(done.trials)]


def only(sweep: Sweep) -> SweepPaths:
    [paths] = list_sweeps(sweep.storage.folder)
    return paths


def test_a_stopped_sweep_ends_what_it_has_begun_and_begins_nothing_more(sweep: Sweep) -> None:
    num_then, num_trials = stopping(sweep)

    [state] = list_states([only(sweep)], now_s=0.0)
    assert num_trials == num_then < 200
    assert state.trials == {EndKind.COMPLETE.value: num_trials}
    assert state.state is State.FINISHED


def test_a_stopped_sweep_that_is_given_more_goes_on(sweep: Sweep) -> None:
    _, num_trials = stopping(sweep)

    extend_sweep(only(sweep), {"trials": str(num_trials + 3)})
    done = resume_sweep(only(sweep), start_executor=start_local)

    assert len(done.trials) == num_trials + 3


def test_a_stopped_sweep_without_a_driver_only_ends_what_was_begun(sweep: Sweep) -> None:
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        if sum(progress.ends.values()) >= 2 and not seen:
            seen.append(progress)
            raise KeyboardInterrupt

    begun = run_sweep(sweep, watch=interrupt, start_executor=start_local)
    stop_sweep(only(sweep))
    done = resume_sweep(only(sweep), start_executor=start_local)

    assert begun.status is SweepStatus.PAUSED
    assert done.status is SweepStatus.FINISHED
    assert len(done.trials) == len(begun.trials)
    assert done.ends == {EndKind.COMPLETE: len(begun.trials)}


def test_what_has_ended_cannot_be_stopped(sweep: Sweep) -> None:
    stopping(sweep)

    with pytest.raises(HpoError, match="must not have ended to be stopped, but has"):
        stop_sweep(only(sweep))


def test_a_sweep_is_not_given_less_than_it_has_spent(sweep: Sweep) -> None:
    _, num_trials = stopping(sweep)
    before = only(sweep).resolved.read_text()

    with pytest.raises(HpoError) as caught:
        extend_sweep(only(sweep), {"trials": "2"})

    assert str(caught.value) == (
        f"budget.trials: must be more than the {num_trials} that are spent, but got 2. Raise it, or say how many more: "
        f"--trials +50. To end a sweep: hpo stop {only(sweep).sweep_id}"
    )
    assert only(sweep).resolved.read_text() == before
    assert only(sweep).stop.exists()
