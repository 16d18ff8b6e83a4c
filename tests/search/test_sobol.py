"""Trials spread evenly: what is known of Sobol's sequence, whatever its scrambling."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from hpo.records import End, EndKind, TrialRecord
from hpo.search.samplers import Curves, Qmc, Sampler, Tpe
from hpo.spaces import Domain, Uniform
from tests.search.opening import open_study

SQUARE: Mapping[str, Domain] = {
    "optimizer.lr": Uniform(min=0.0, max=1.0),
    "optimizer.momentum": Uniform(min=0.0, max=1.0),
}


def propose(folder: Path, sampler: Sampler, num: int) -> list[TrialRecord]:
    folder.mkdir()
    with open_study(folder, space=SQUARE, sampler=sampler) as study:
        for number in range(num):
            [trial] = study.ask(1)
            study.tell(
                number, End(kind=EndKind.COMPLETE, epoch=27, value=-abs(float(str(trial.params["optimizer.lr"]))))
            )
        return study.trials()


@pytest.mark.parametrize("num_columns", [1, 2, 4, 8, 16])
def test_16_trials_of_qmc_put_one_into_each_cell_of_every_grid_of_16(tmp_path: Path, num_columns: int) -> None:
    trials = propose(tmp_path / "qmc", Qmc(), 16)

    # The first 2^m points in two dimensions are a (0, m, 2)-net (Niederreiter 1992, section 4.5).
    places = [
        (float(str(trial.params["optimizer.lr"])), float(str(trial.params["optimizer.momentum"]))) for trial in trials
    ]
    assert len({(int(x * num_columns), int(y * 16 / num_columns)) for x, y in places}) == 16


def test_tpe_after_qmc_begins_as_qmc_does_and_then_learns(tmp_path: Path) -> None:
    spread = propose(tmp_path / "qmc", Qmc(), 14)

    learnt = propose(tmp_path / "tpe", Tpe(startup="qmc"), 14)

    same = [ours.params == theirs.params for ours, theirs in zip(learnt, spread, strict=True)]
    assert same == [True] * 10 + [False] * 4


def test_a_cohort_asked_before_any_trial_has_ended_is_spread_as_a_whole(tmp_path: Path) -> None:
    with open_study(tmp_path, space=SQUARE, sampler=Tpe(startup="qmc", num_startup=4)) as study:
        trials = study.ask(16)

    assert len({int(float(str(trial.params["optimizer.lr"])) * 16) for trial in trials}) == 16


def test_the_start_of_curves_is_the_same_sequence(tmp_path: Path) -> None:
    spread = propose(tmp_path / "qmc", Qmc(), 6)

    assert [trial.params for trial in propose(tmp_path / "curves", Curves(), 6)] == [trial.params for trial in spread]


def test_a_start_of_no_trials_is_refused() -> None:
    with pytest.raises(ValidationError, match="startup must be random with num_startup 0, but got qmc"):
        Tpe(num_startup=0, startup="qmc")
