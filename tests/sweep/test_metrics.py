"""One metric or several, and what several ask of a search."""

import json
from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.records import Goal
from hpo.sweep import Metric, Sweep, dump_resolved, load_sweep
from hpo.sweep.validation import validate

ACCURACY = "{name: val_accuracy, goal: maximize}"
LOSS = "{name: val_loss, goal: minimize}"
SIZE = "{name: num_parameters, goal: minimize}"
SECONDS = "{name: seconds, goal: minimize}"
SPACE = "space: {optimizer.lr: 'loguniform(1e-4, 1)', model.hidden: 'choice([8], [16])'}"


def load(folder: Path, *lines: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text("\n".join(("data: {kind: digits}", "model: {kind: mlp}", *lines)))
    return load_sweep(path)


def test_the_first_of_several_metrics_is_the_main_one(tmp_path: Path) -> None:
    sweep = load(tmp_path, f"metrics: [{LOSS}, {SIZE}, {SECONDS}]", SPACE)

    assert sweep.metric == Metric(name="val_loss", goal=Goal.MINIMIZE)
    assert list(sweep.goals) == ["val_loss", "num_parameters", "seconds"]


def test_with_one_metric_there_is_one_goal(tmp_path: Path) -> None:
    assert load(tmp_path, f"metric: {ACCURACY}", SPACE).goals == {"val_accuracy": Goal.MAXIMIZE}


def test_a_resolved_file_holds_what_the_file_gave(tmp_path: Path) -> None:
    for lines in (f"metrics: [{ACCURACY}, {SIZE}]", f"metric: {ACCURACY}"):
        sweep = load(tmp_path, lines, SPACE)
        (tmp_path / "resolved.yaml").write_text(dump_resolved(sweep))

        assert load_sweep(tmp_path / "resolved.yaml") == sweep


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [f"metric: {ACCURACY}", f"metrics: [{ACCURACY}, {SIZE}]"],
            (
                "sweep.yaml:3: metric: must be left out beside metrics, of which the first is the main one. "
                "Delete it, or "
                "delete metrics."
            ),
        ),
        ([], "sweep.yaml: metric: is required, but is missing. Add it."),
        (["metrics: []"], "sweep.yaml: metric: is required, but is missing. Add it."),
        (
            [f"metrics: [{ACCURACY}]"],
            "sweep.yaml:3: metrics: must be 2 or 3 different ones, but got val_accuracy. Use metric for a single one.",
        ),
        (
            [f"metrics: [{ACCURACY}, {SIZE}, {ACCURACY}]"],
            (
                "sweep.yaml:3: metrics: must be 2 or 3 different ones, but got val_accuracy, num_parameters and "
                "val_accuracy. Use metric for a single one."
            ),
        ),
        (
            [f"metrics: [{SECONDS}, {LOSS}]"],
            (
                "sweep.yaml:3: metrics.0.name: must be val_accuracy or val_loss, for by the first metric the "
                "best trial is "
                "chosen, but got seconds. Name it after them."
            ),
        ),
        (
            [f"metrics: [{LOSS}, {SIZE.replace('minimize', 'maximize')}]"],
            "sweep.yaml:3: metrics.1: num_parameters must be minimized, but the goal is maximize. Change one of them.",
        ),
        (
            [f"metrics: [{LOSS}, {SIZE.replace('num_parameters', 'size')}]"],
            'sweep.yaml:3: metrics.1.name: must be val_accuracy, val_loss, num_parameters or seconds, but got "size".',
        ),
        (
            ["metrics: 3"],
            "sweep.yaml:3: metrics: must be a list, but got 3.",
        ),
        (
            [f"metrics: [{ACCURACY}, {LOSS}]", "scheduler: {kind: asha}"],
            (
                "sweep.yaml:4: scheduler.kind: must be none with several metrics, for a trial that is stopped "
                "has no place "
                "on the front, but got asha. Use scheduler: {kind: none}."
            ),
        ),
        (
            [f"metrics: [{ACCURACY}, {LOSS}]", "sampler: {kind: gp}"],
            (
                "sweep.yaml:4: sampler.kind: must be nsga2, nsga3 or tpe with several metrics, or random, qmc or grid, "
                "which never learn, but got gp, which learns from one metric. Use one of these, or metric in place of "
                "metrics."
            ),
        ),
        (
            [f"metric: {ACCURACY}", "sampler: {kind: nsga2}"],
            (
                "sweep.yaml:4: sampler.kind: nsga2 is for several metrics, but there is one. Write metrics: "
                "[..., ...] in "
                "place of metric, or use sampler: {kind: tpe} or {kind: cmaes}."
            ),
        ),
        (
            [f"metrics: [{ACCURACY}, {LOSS}]", "sampler: {kind: nsga3}", "budget: {trials: 20}"],
            (
                "sweep.yaml:4: sampler.population: must be below the 20 trials of the budget, but got 20: no "
                "trial would "
                "be bred. Lower it, or raise budget.trials."
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(SweepError) as error:
        load(tmp_path, *lines, SPACE)

    assert str(error.value).removeprefix(f"{tmp_path}/") == said


def test_a_size_that_no_trial_changes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SweepError, match=r"metrics.1.name: num_parameters is the same in every trial, for nothing of the"
    ):
        load(tmp_path, f"metrics: [{ACCURACY}, {SIZE}]", "space: {optimizer.lr: 'loguniform(1e-4, 1)'}")


def test_a_wrong_metric_is_not_also_missing() -> None:
    tree = {"data": {"kind": "digits"}, "model": {"kind": "mlp"}, "metric": 3, "space": {}}

    problems = validate(json.loads(json.dumps(tree)), Sweep)

    assert isinstance(problems, list)
    assert [problem.key for problem in problems] == ["metric", "space"]


def test_a_mistake_elsewhere_says_nothing_of_metrics(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as error:
        load(tmp_path, f"metrics: [{ACCURACY}, {SIZE}]", "epochs: 0", SPACE)

    assert str(error.value).endswith("sweep.yaml:4: epochs: must be at least 1, but got 0. Raise it.")
