"""What every sampler owes to the study."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpo.records import End, EndKind, Report, TrialRecord
from hpo.search.samplers import Cmaes, Curves, Gp, Grid, Qmc, Random, Sampler, Tpe
from hpo.search.study import Study
from hpo.spaces import Choice, Domain, QUniform
from tests.search.opening import SPACE, open_study, read_with_optuna

every_sampler = pytest.mark.parametrize(
    "sampler",
    [
        Random(),
        Qmc(),
        Grid(),
        Tpe(),
        Tpe(startup="qmc"),
        pytest.param(Gp(startup="qmc"), marks=pytest.mark.slow),
        Cmaes(),
        Curves(),
    ],
    ids=["random", "qmc", "grid", "tpe", "tpe after qmc", "gp", "cmaes", "curves"],
)
LISTED: Mapping[str, Domain] = {
    **SPACE,
    "optimizer.lr": Choice(values=(0.001, 0.1, 1.0)),
    "optimizer.momentum": QUniform(min=0.0, max=0.9, q=0.1),
}


def space_for(sampler: Sampler) -> Mapping[str, Domain]:
    """Grids need domains that can be listed."""
    return LISTED if isinstance(sampler, Grid) else SPACE


def finish(study: Study, trial: TrialRecord) -> None:
    """Large learning rates diverge; the others end in every other way."""
    lr, momentum = trial.params["optimizer.lr"], trial.params["optimizer.momentum"]
    assert isinstance(lr, float)
    assert isinstance(momentum, float)
    kinds = (EndKind.COMPLETE, EndKind.STOPPED, EndKind.STOPPED, EndKind.FAILED, EndKind.TIMED_OUT)
    kind = EndKind.DIVERGED if lr > 0.2 else kinds[trial.trial_id % len(kinds)]
    value = -abs(momentum - 0.9)
    study.record(Report(trial_id=trial.trial_id, epoch=1, metrics={"val_accuracy": value}))
    study.tell(trial.trial_id, End(kind=kind, epoch=1, value=value))


@every_sampler
def test_many_proposals_stay_in_the_domain(tmp_path: Path, sampler: Sampler) -> None:
    num_rounds = 8 if isinstance(sampler, Gp) else 25  # its time grows with the cube of the trials

    with open_study(tmp_path, sampler=sampler, space=space_for(sampler)) as study:
        for _ in range(num_rounds):
            for trial in study.ask(8):
                finish(study, trial)
        trials = study.trials()

    space = space_for(sampler)
    outside = [
        (path, value) for trial in trials for path, value in trial.params.items() if not space[path].contains(value)
    ]
    dropouts = {trial.params["model.dropout"] for trial in trials}
    assert len(trials) == 8 * num_rounds
    assert outside == []
    assert dropouts <= {round(0.05 * step, 2) for step in range(13)}


@every_sampler
def test_reload_then_ask_equals_ask_without_reload(tmp_path_factory: pytest.TempPathFactory, sampler: Sampler) -> None:
    def propose(folder: Path, *, reload: bool) -> list[TrialRecord]:
        study = open_study(folder, sampler=sampler, space=space_for(sampler))
        for _ in range(3):
            for trial in study.ask(8)[:-1]:
                finish(study, trial)
            if reload:
                study.close()
                study = open_study(folder, sampler=sampler, space=space_for(sampler))
        with study:
            return study.ask(8)

    straight = propose(tmp_path_factory.mktemp("straight"), reload=False)
    reloaded = propose(tmp_path_factory.mktemp("reloaded"), reload=True)

    assert reloaded == straight


@every_sampler
def test_another_seed_proposes_other_trials(tmp_path_factory: pytest.TempPathFactory, sampler: Sampler) -> None:
    proposals = []
    for seed in (0, 1):
        with open_study(tmp_path_factory.mktemp("seed"), sampler=sampler, space=space_for(sampler), seed=seed) as study:
            proposals.append(study.ask(4))

    assert proposals[0] != proposals[1]


@every_sampler
def test_a_batch_of_32_after_64_told_trials_is_diverse(tmp_path: Path, sampler: Sampler) -> None:
    with open_study(tmp_path, sampler=sampler, space=space_for(sampler)) as study:
        for trial in study.ask(64):
            finish(study, trial)

        batch = study.ask(32)

    assert len({tuple(trial.params.values()) for trial in batch}) == 32


@every_sampler
def test_no_trial_is_left_running_when_all_are_told(tmp_path: Path, sampler: Sampler) -> None:
    with open_study(tmp_path, sampler=sampler, space=space_for(sampler)) as study:
        for trial in study.ask(18):
            finish(study, trial)

    states = {trial.state.name for trial in read_with_optuna(tmp_path)}
    assert states == {"COMPLETE", "PRUNED", "FAIL"}


def test_samplers_are_named_without_waiting_for_scipy() -> None:
    code = "import sys, hpo.search.samplers; print([name for name in sys.modules if name.partition('.')[0] == 'scipy'])"

    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert said == "[]\n"
