"""The ensemble so far of whole sweeps: what it shows, whose states it spares, and that it changes nothing else."""

import logging
import time
from pathlib import Path

import pytest

from hpo.folders import notice
from hpo.harvest import lineup
from hpo.outcome import SweepResult
from hpo.paths import list_sweeps
from hpo.progress import EnsembleSoFar, Progress
from hpo.records import Goal
from hpo.run import StartExecutor, resume_sweep, run_sweep, start_local
from hpo.sweep import Sweep
from hpo.tracking.tracker import SweepStatus
from tests.harvest.test_harvest import load
from tests.test_run import Interrupted, outcomes

STATE = 18_000
"""About: 64 * 16 + 16 + 16 * 10 + 10 weights and as many of momentum, in 4 bytes each; and 360 * 10 predictions."""
WIDE = ("resources.lanes=1", "budget.trials=14", "epochs=2")
KIND = "ensemble: {kind: greedy, size: 3, min_gain: 0}"


def run(sweep: Sweep) -> tuple[SweepResult, list[Progress]]:
    seen: list[Progress] = []
    return run_sweep(sweep, watch=seen.append, start_executor=start_local), seen


def in_small_cohorts(num_reports: int = 0) -> StartExecutor:
    """Of 7, 4, 2 and 1; until someone presses Ctrl-C after so many reports, if ever."""
    return lambda *begun: Interrupted(start_local(*begun), num_reports, num_slots=2)


def members(result: SweepResult) -> list[tuple[int, float]]:
    assert result.ensemble is not None
    return [
        (each.trial_id, weight) for each, weight in zip(result.ensemble.members, result.ensemble.weights, strict=True)
    ]


def num_states(result: SweepResult) -> int:
    return len(list(result.paths.checkpoints.glob("*/*")))


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepResult, list[Progress]]:
    return run(load(tmp_path_factory.mktemp("roomy"), KIND, *WIDE))


def test_what_is_shown_last_is_what_the_sweep_ends_with(roomy: tuple[SweepResult, list[Progress]]) -> None:
    result, seen = roomy

    shown, ensemble = seen[-1].ensemble, result.ensemble
    assert shown is not None
    assert ensemble is not None
    assert shown.num_members == len(ensemble.members) > 1
    assert shown.nll == pytest.approx(ensemble.fit.selected_on.nll)
    assert shown.accuracy == pytest.approx(ensemble.fit.selected_on.accuracy)


def test_within_a_quota_the_same_members_are_found_as_without(
    roomy: tuple[SweepResult, list[Progress]], tmp_path: Path
) -> None:
    result, _ = run(load(tmp_path, KIND, *WIDE, f"storage.keep={5 * STATE}"))

    assert num_states(result) < num_states(roomy[0]) == 14
    assert members(result) == members(roomy[0])


def test_repetitions_which_rank_last_outlive_the_trials_of_the_search_as_members(tmp_path: Path) -> None:
    result, seen = run(load(tmp_path, "ensemble: {kind: deep, size: 3}", *WIDE, f"storage.keep={5 * STATE}"))

    assert result.best is not None
    assert result.ensemble is not None
    best = result.best.trial_id
    assert [each.trial_id for each in result.ensemble.members] == [best, 14, 15]
    assert seen[-1].ensemble is not None
    assert seen[-1].ensemble.num_members == 3


def test_a_sweep_within_a_quota_that_is_resumed_spares_the_members_that_it_had(
    roomy: tuple[SweepResult, list[Progress]], tmp_path: Path
) -> None:
    sweep = load(tmp_path, KIND, *WIDE, f"storage.keep={9 * STATE}")
    paused = run_sweep(sweep, start_executor=in_small_cohorts(num_reports=19))

    result = resume_sweep(paused.paths, start_executor=in_small_cohorts())

    assert paused.status is SweepStatus.PAUSED
    assert members(result) == members(roomy[0])


def test_a_running_sweep_leaves_the_ensemble_so_far_beside_its_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice, "LOOK_S", 0.01)
    monkeypatch.setattr(lineup, "LOOK_S", 0.01)
    sweep = load(tmp_path, KIND, *WIDE)
    found: list[EnsembleSoFar] = []

    def watch(progress: Progress) -> None:
        """Hold the driver up until it has been written."""
        if progress.ensemble is None or progress.is_over or found:
            return
        [paths] = list_sweeps(tmp_path / "runs")
        for _ in range(3000):
            said = notice.read_notice(paths.notice)
            if said is not None and said.ensemble is not None:
                found.append(said.ensemble)
                return
            time.sleep(0.01)

    run_sweep(sweep, watch=watch, start_executor=in_small_cohorts())

    assert 1 <= found[0].num_members <= 3


def test_an_ensemble_changes_no_trial_and_without_one_nothing_is_shown(
    roomy: tuple[SweepResult, list[Progress]], tmp_path: Path
) -> None:
    result, seen = run(load(tmp_path, "ensemble: none", *WIDE))

    assert outcomes(list(result.trials)) == outcomes(list(roomy[0].trials))
    assert {each.ensemble for each in seen} == {None}


def test_a_sweep_that_leaves_no_network_shows_no_ensemble(tmp_path: Path) -> None:
    _, seen = run(load(tmp_path, KIND, *WIDE, "space.optimizer.lr=uniform(1e30, 2e30)", "budget.trials=2"))

    assert {each.ensemble for each in seen} == {None}


def test_with_several_metrics_the_ensemble_goes_by_nll_all_the_same(
    roomy: tuple[SweepResult, list[Progress]], tmp_path: Path
) -> None:
    sweep = load(tmp_path, KIND, *WIDE)
    both = ({"name": "val_accuracy", "goal": Goal.MAXIMIZE}, {"name": "val_loss", "goal": Goal.MINIMIZE})
    sweep = Sweep.model_validate({**sweep.model_dump(exclude={"metric"}, exclude_unset=True), "metrics": both})

    result, seen = run(sweep)

    assert seen[-1].ensemble is not None
    assert members(result) == members(roomy[0])


def test_a_damaged_state_is_told_once_and_the_search_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sweep = load(tmp_path, KIND, *WIDE, f"storage.keep={6 * STATE}")
    paused = run_sweep(sweep, start_executor=in_small_cohorts(num_reports=19))
    for trial in paused.trials:
        if trial.end is not None and trial.checkpoint is not None and Path(trial.checkpoint).exists():
            Path(trial.checkpoint).write_bytes(bytes(STATE))

    with caplog.at_level(logging.WARNING, "hpo.harvest.lineup"):
        again = resume_sweep(paused.paths, start_executor=in_small_cohorts(num_reports=5))

    assert again.status is SweepStatus.PAUSED
    assert again.num_epochs > paused.num_epochs
    [said] = [record.getMessage() for record in caplog.records if record.name == "hpo.harvest.lineup"]
    assert said.startswith("The ensemble so far is not up to date: ")
