"""Repetitions in a study: they are remembered as what they are, and teach no sampler anything."""

from pathlib import Path

import pytest

from hpo.records import End, EndKind, Report
from hpo.search.reading import read_trials
from hpo.search.samplers import Curves, Gp, Random, Sampler, Tpe
from hpo.search.study import Study
from tests.search.opening import SPACE, open_study


def train(study: Study, trial_id: int, value: float) -> None:
    for epoch in (1, 2, 3):
        study.record(Report(trial_id=trial_id, epoch=epoch, metrics={"val_accuracy": value}))
    metrics = {"val_accuracy": value}
    study.tell(trial_id, End(kind=EndKind.COMPLETE, epoch=3, value=value, metrics=metrics))


def begin(study: Study, repeated: float) -> None:
    """Eight trials, and a repetition with this value."""
    for trial in study.ask(8):
        train(study, trial.trial_id, 0.1 * trial.trial_id)
    again = study.repeat(3, seed_index=2)
    train(study, again.trial_id, repeated)


def test_a_repetition_has_the_params_of_another_and_luck_of_its_own(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        first, _ = study.ask(2)

        again = study.repeat(0, seed_index=2)

        assert (again.trial_id, again.params, again.repeats, again.seed_index) == (2, first.params, 0, 2)
        assert not again.is_proposed
    assert read_trials(tmp_path / "study.db", SPACE)[2] == again


def test_points_are_not_counted_on_by_repetitions(tmp_path: Path) -> None:
    with open_study(tmp_path, points=[{"model.depth": 2}, {"optimizer.lr": 0.125}]) as study:
        study.ask(1)
        study.repeat(0, seed_index=1)

    with open_study(tmp_path, points=[{"model.depth": 2}, {"optimizer.lr": 0.125}]) as study:
        [second] = study.ask(1)

    assert second.params["optimizer.lr"] == 0.125


@pytest.mark.parametrize("sampler", [Random(), Tpe(num_startup=4), Gp(), Curves()], ids=lambda sampler: sampler.kind)
def test_no_sampler_learns_from_repetitions_before_or_after_a_reload(tmp_path: Path, sampler: Sampler) -> None:
    proposed = []
    for number, value in enumerate((0.0, 1.0)):
        with open_study(tmp_path / str(number), sampler=sampler) as study:
            begin(study, value)
            proposed.append([trial.params for trial in study.ask(3)])
    with open_study(tmp_path / "again", sampler=sampler) as study:
        begin(study, 1.0)
    with open_study(tmp_path / "again", sampler=sampler) as study:
        proposed.append([trial.params for trial in study.ask(3)])

    assert proposed[1] == proposed[0]
    assert proposed[2] == proposed[0]
