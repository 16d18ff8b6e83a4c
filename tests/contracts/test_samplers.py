"""What every sampler owes to the study, in a space with everything that a space can have."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hpo.records import Decision, End, EndKind, Goal, Outcome, Params, Report, TrialRecord
from hpo.search.samplers import Cmaes, Coordinate, Curves, Gp, Grid, Nsga2, Nsga3, Qmc, Random, Refine, Sampler, Tpe
from hpo.search.study import Study
from hpo.spaces import (
    Choice,
    Constant,
    Domain,
    LogRandInt,
    LogUniform,
    Ordinal,
    QLogUniform,
    QRandInt,
    QUniform,
    RandInt,
    Uniform,
)
from tests.search.opening import SEARCH, open_study, read_with_optuna

SPACE: Mapping[str, Domain] = {
    "optimizer.kind": Choice(values=("sgd", "adamw")),
    "optimizer.lr": LogUniform(min=1e-4, max=1.0),
    "optimizer.momentum": Uniform(min=0.0, max=0.99, when="optimizer.kind == sgd"),
    "optimizer.nesterov": Choice(values=(True, False), when="optimizer.momentum > 0.5"),
    "optimizer.decay_mode": Constant(value="decoupled", when="optimizer.kind == adamw"),
    "loss.label_smoothing": QLogUniform(min=0.01, max=0.2, q=0.01),
    "model.dropout": QUniform(min=0.0, max=0.6, q=0.05),
    "model.depth": RandInt(min=1, max=5),
    "model.width": LogRandInt(min=16, max=512),
    "model.hidden": Choice(values=((32,), (128, 64)), when="model.depth in [2, 3]"),
    "augmentation.cutout": QRandInt(min=0, max=16, q=4),
    "batch_size": Ordinal(values=(32, 64, 128, 256)),
}
LISTED: Mapping[str, Domain] = {
    **SPACE,
    "optimizer.lr": Ordinal(values=(0.001, 0.01, 0.1, 1.0)),
    "optimizer.momentum": QUniform(min=0.0, max=0.9, q=0.3, when="optimizer.kind == sgd"),
    "loss.label_smoothing": Constant(value=0.1),
    "model.dropout": Choice(values=(0.0, 0.25)),
    "model.depth": RandInt(min=2, max=4),
    "model.width": Ordinal(values=(64, 512)),
    "augmentation.cutout": Constant(value=0),
}
CONSTRAINTS = ("model.width * batch_size <= 65536", "optimizer.momentum < 0.9 or optimizer.lr <= 0.5")
PRIORS: Mapping[str, Domain] = {
    **SPACE,
    "optimizer.kind": Choice(values=("sgd", "adamw"), prior="adamw", prior_confidence="high"),
    "optimizer.lr": LogUniform(min=1e-4, max=1.0, prior=0.01),
    "model.width": LogRandInt(min=16, max=512, prior=64, prior_confidence="low"),
}


SMALL = {"num_parameters": Goal.MINIMIZE}
QUICK = {"seconds": Goal.MINIMIZE}


@dataclass(frozen=True)
class Case:
    """A sampler and what it searches."""

    sampler: Sampler
    space: Mapping[str, Domain] = field(default_factory=lambda: SPACE)
    num: int = 500
    """Proposals."""
    others: Mapping[str, Goal] = field(default_factory=dict)
    """Metrics beside the main one."""

    @property
    def terms(self) -> dict[str, Any]:
        return {"sampler": self.sampler, "space": self.space, "constraints": CONSTRAINTS, "others": self.others}


every_sampler = pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(Random()), id="random"),
        pytest.param(Case(Random(), PRIORS, 100), id="random with priors"),
        pytest.param(Case(Qmc()), id="qmc"),
        pytest.param(Case(Qmc(), PRIORS, 100), id="qmc with priors"),
        pytest.param(Case(Grid(), LISTED), id="grid"),
        pytest.param(Case(Tpe()), id="tpe"),
        pytest.param(Case(Tpe(startup="qmc"), PRIORS, 100), id="tpe with priors after qmc"),
        pytest.param(Case(Gp()), id="gp"),
        pytest.param(Case(Cmaes()), id="cmaes"),
        pytest.param(Case(Curves()), id="curves"),
        pytest.param(Case(Curves(), PRIORS, 100), id="curves with priors"),
        pytest.param(Case(Coordinate()), id="coordinate"),
        pytest.param(Case(Refine()), id="refine"),
        pytest.param(Case(Random(), num=100, others=SMALL), id="random with two metrics"),
        pytest.param(Case(Grid(), LISTED, num=100, others=SMALL), id="grid with two metrics"),
        pytest.param(Case(Tpe(), num=100, others=SMALL), id="tpe with two metrics"),
        pytest.param(Case(Nsga2(population=8), others=SMALL), id="nsga2"),
        pytest.param(Case(Nsga2(population=8, startup="qmc"), PRIORS, 100, SMALL), id="nsga2 with priors after qmc"),
        pytest.param(Case(Nsga3(population=8), others=SMALL | QUICK), id="nsga3 with three metrics"),
    ],
)


def end_of(trial_id: int, params: Params) -> End:
    """Large learning rates diverge; the others end in every other way."""
    lr, depth = params["optimizer.lr"], params["model.depth"]
    assert isinstance(lr, float)
    assert isinstance(depth, int)
    kinds = (EndKind.COMPLETE, EndKind.STOPPED, EndKind.STOPPED, EndKind.FAILED, EndKind.TIMED_OUT)
    kind = EndKind.DIVERGED if lr > 0.5 else kinds[trial_id % len(kinds)]
    metrics = {"num_parameters": depth, "seconds": 1 / lr}
    return End(kind=kind, epoch=1, value=-abs(math.log10(lr) + 1) - depth / 10, metrics=metrics)


def finish(study: Study, trial: TrialRecord) -> None:
    """See `end_of`."""
    end = end_of(trial.trial_id, trial.params)
    assert end.value is not None
    study.record(Report(trial_id=trial.trial_id, epoch=1, metrics={"val_accuracy": end.value}))
    study.tell(trial.trial_id, end)


def decide(study: Study, trial: TrialRecord, outcome: Outcome) -> None:
    """At its rung."""
    study.decide({trial.trial_id: Decision(rung=1, value=0.5, cutoff=0.5, rank=1, num_seen=1, outcome=outcome)})


def is_as_the_space_says(params: Params, space: Mapping[str, Domain]) -> bool:
    """Worked out by hand, without what the space makes of its own expressions."""
    values: dict[str, Any] = dict(params)
    momentum = values.get("optimizer.momentum")
    absent = set()
    if values["optimizer.kind"] != "sgd":
        absent |= {"optimizer.momentum"}
    if values["optimizer.kind"] != "adamw":
        absent |= {"optimizer.decay_mode"}
    if momentum is None or momentum <= 0.5:
        absent |= {"optimizer.nesterov"}
    if values["model.depth"] not in (2, 3):
        absent |= {"model.hidden"}
    return (
        values.keys() == space.keys() - absent
        and all(space[path].contains(value) for path, value in params.items())
        and values["model.width"] * values["batch_size"] <= 65536
        and (momentum is None or momentum < 0.9 or values["optimizer.lr"] <= 0.5)
    )


@every_sampler
def test_500_proposals_keep_to_domains_steps_conditions_and_constraints(case: Case) -> None:
    search = replace(SEARCH, **case.terms)
    proposer, trials = case.sampler.begin(search.problem), list[Params]()

    for number in range(case.num):
        params = proposer.propose({})
        trials.append(search.shape.values(params))
        if number % 25 == 24:  # a batch is told when all of it was proposed
            for trial_id in range(number - 24, number + 1):
                end = end_of(trial_id, trials[trial_id])
                proposer.end(trial_id, {1: end.value or 0.0}, end)

    assert [params for params in trials if not is_as_the_space_says(params, case.space)] == []


@every_sampler
def test_reload_then_ask_equals_ask_without_reload(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    def propose(folder: Path, *, reload: bool) -> list[TrialRecord]:
        study = open_study(folder, **case.terms)
        paused = list[TrialRecord]()
        for _ in range(3):
            *trials, late, _ = study.ask(8)
            for trial in trials:
                finish(study, trial)
            for trial in paused:
                decide(study, trial, Outcome.CONTINUES)
            paused = [late]
            study.record(Report(trial_id=late.trial_id, epoch=1, metrics={"val_accuracy": 0.5}))
            decide(study, late, Outcome.PAUSES)
            if reload:
                study.close()
                study = open_study(folder, **case.terms)
        with study:
            return study.ask(8)

    straight = propose(tmp_path_factory.mktemp("straight"), reload=False)
    reloaded = propose(tmp_path_factory.mktemp("reloaded"), reload=True)

    assert reloaded == straight


@every_sampler
def test_another_seed_proposes_other_trials(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    proposals = []
    for seed in (0, 1):
        with open_study(tmp_path_factory.mktemp("seed"), **case.terms, seed=seed) as study:
            proposals.append(study.ask(4))

    assert proposals[0] != proposals[1]


@every_sampler
def test_a_batch_of_32_after_64_told_trials_is_diverse(tmp_path: Path, case: Case) -> None:
    with open_study(tmp_path, **case.terms) as study:
        for trial in study.ask(64):
            finish(study, trial)

        batch = study.ask(32)

    assert len({tuple(trial.params.items()) for trial in batch}) == 32


@every_sampler
def test_no_trial_is_left_running_when_all_are_told(tmp_path: Path, case: Case) -> None:
    with open_study(tmp_path, **case.terms) as study:
        for trial in study.ask(18):
            finish(study, trial)

    states = {trial.state.name for trial in read_with_optuna(tmp_path)}
    assert states == {"COMPLETE", "PRUNED", "FAIL"}


@every_sampler
def test_what_a_point_gives_is_kept_and_the_rest_keeps_to_the_constraints(tmp_path: Path, case: Case) -> None:
    point: Params = {"model.width": 512, "optimizer.kind": "sgd"}
    with open_study(tmp_path, **case.terms, points=[point] * 8) as study:
        trials = study.ask(8)

    assert all(trial.params.items() >= point.items() for trial in trials)
    assert all(is_as_the_space_says(trial.params, case.space) for trial in trials)


@pytest.mark.parametrize(
    "sampler", [Random(), Qmc(), Tpe(), Cmaes(), Curves(), Coordinate(), Refine()], ids=lambda sampler: sampler.kind
)
def test_trials_begin_near_the_priors_and_leave_them_for_what_is_better(tmp_path: Path, sampler: Sampler) -> None:
    space: Mapping[str, Domain] = {
        "optimizer.lr": LogUniform(min=1e-4, max=1.0, prior=1e-3, prior_confidence="high"),
        "optimizer.momentum": Uniform(min=0.0, max=1.0),
    }
    with open_study(tmp_path, sampler=sampler, space=space) as study:
        for _ in range(60):
            [trial] = study.ask(1)
            lr = trial.params["optimizer.lr"]
            assert isinstance(lr, float)
            value = -abs(math.log10(lr) + 0.5)  # the prior is wrong
            study.record(Report(trial_id=trial.trial_id, epoch=27, metrics={"val_accuracy": value}))
            study.tell(trial.trial_id, End(kind=EndKind.COMPLETE, epoch=27, value=value))
        rates = [trial.params["optimizer.lr"] for trial in study.trials()]

    logs = [math.log10(lr) for lr in rates if isinstance(lr, float)]
    assert sum(abs(log + 3) < 0.75 for log in logs[:5]) >= 4
    assert max(logs) > -1.5
