"""Conditions, constraints and priors of a sweep file: what is accepted, and what is explained."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.search.study import Study
from hpo.sweep import Sweep, load_sweep
from tests.search.opening import SEARCH

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
  optimizer.kind: choice(sgd, adamw)
  batch_size: ordinal(32, 64, 128)
"""
ON_SGD = "  optimizer.momentum: {distribution: uniform, min: 0, max: 0.9, when: optimizer.kind == sgd}\n"


def load(folder: Path, text: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return load_sweep(path)


def test_a_setting_of_one_kind_is_searched_where_a_condition_picks_that_kind(tmp_path: Path) -> None:
    text = SWEEP + ON_SGD + 'constraints: ["optimizer.lr * batch_size <= epochs * 2"]\n'

    sweep = load(tmp_path, text)

    assert sweep.conditions.order == ("batch_size", "optimizer.kind", "optimizer.lr", "optimizer.momentum")
    assert not sweep.conditions.allow({"optimizer.lr": 1.0, "batch_size": 128})


def test_effective_coordinates_may_have_conditions_too(tmp_path: Path) -> None:
    text = SWEEP.replace("  optimizer.lr: loguniform(1e-4, 1)\n", "  effective.lr: loguniform(1e-4, 1e-2)\n")
    one_minus = "{distribution: loguniform, min: 0.01, max: 0.5, when: optimizer.kind == %s}\n"

    sweep = load(
        tmp_path,
        text
        + f"  effective.one_minus_momentum: {one_minus % 'sgd'}"
        + f"  effective.one_minus_beta2: {one_minus % 'adamw'}",
    )

    assert len(sweep.space) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: optimizer.kin == sgd}\n",
            (
                "space.model.dropout.when: must speak of what is searched, but optimizer.kin is not. "
                "Did you mean `optimizer.kind`?"
            ),
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: optimizer.kind == adam}\n",
            (
                "space.model.dropout.when: compares optimizer.kind with adam, which it never is: sgd, adamw. "
                "Change the condition."
            ),
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: optimizer.kind > 1}\n",
            (
                "space.model.dropout.when: computes with numbers and asks which is greater, "
                "but optimizer.kind is none. Use == or in."
            ),
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: batch_size > 128}\n",
            (
                "space.model.dropout.when: never holds, by 2000 trials drawn at random: batch_size > 128. "
                "Change it, or drop it."
            ),
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: batch_size >= 32}\n",
            (
                "space.model.dropout.when: always holds, by 2000 trials drawn at random: batch_size >= 32. "
                "Change it, or drop it."
            ),
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: a == b}\n",
            (
                "space.model.dropout.when: must compare what is searched with something, but compares a and b. "
                "Searched are: batch_size, model.dropout, optimizer.kind, optimizer.lr."
            ),
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: model.dropout > 0.1}\n",
            (
                "space: conditions must not go round in a circle, "
                "but model.dropout needs model.dropout. Drop one of them."
            ),
        ),
        (
            'constraints: [optimizer.lr < "a"]\n',
            "constraints.0: computes with numbers and asks which is greater, but a is none. Use == or in.",
        ),
        (
            'constraints: ["optimizer.lr + true < 3"]\n',
            "constraints.0: computes with numbers and asks which is greater, but true is none. Use == or in.",
        ),
        (
            "constraints: ['batch_size * \"b\" in [1, 2]']\n",
            "constraints.0: computes with numbers and asks which is greater, but b is none. Use == or in.",
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: optimizer.lr > true}\n",
            (
                "space.model.dropout.when: computes with numbers and asks which is greater, but true is none. "
                "Use == or in."
            ),
        ),
        (
            'constraints: ["batch_size <= 128"]\n',
            "constraints.0: binds none of 2000 trials drawn at random: batch_size <= 128. Delete it.",
        ),
        (
            'constraints: ["batch_size + epochs < 8"]\n',
            (
                "constraints: must be kept by at least 10 of 20000 trials drawn at random, so that every proposal "
                "finds one, but are kept by 0. Loosen them, or narrow the space to where they hold."
            ),
        ),
        (
            ON_SGD + "points: [{optimizer.momentum: 0.5}]\n",
            (
                "points.0.optimizer.momentum: is had only by trials for which optimizer.kind == sgd, which the point "
                "does not say. Set that, or drop it."
            ),
        ),
        (
            "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: true}\n",
            "space.model.dropout.when: must be a comparison, as optimizer.kind == adamw, but got true. Write one.",
        ),
        (
            ON_SGD + 'constraints: ["optimizer.nesterov == true"]\n',
            (
                "constraints.0: must speak of what is searched, but optimizer.nesterov is not. "
                "Did you mean `optimizer.lr`?"
            ),
        ),
        (
            'constraints: ["batch_size"]\n',
            (
                "constraints.0: an expression is written like optimizer.kind == adamw, mix in [mixup, cutmix] or "
                "width * batch_size <= 1e6, but got batch_size: batch_size compares nothing. "
                "Use ==, !=, <, <=, >, >= or in."
            ),
        ),
        (
            ON_SGD + "points: [{optimizer.kind: adamw, optimizer.momentum: 0.5}]\n",
            (
                "points.0.optimizer.momentum: is had only by trials for which optimizer.kind == sgd, which the point "
                "does not say. Set that, or drop it."
            ),
        ),
        (
            'constraints: ["batch_size * optimizer.lr < 32"]\npoints: [{optimizer.lr: 0.9, batch_size: 128}]\n',
            (
                "points.0: must leave a trial that keeps to batch_size * optimizer.lr < 32, but none of 20000 drawn "
                "does. Change one of the two."
            ),
        ),
        (
            "sampler: {kind: grid}\n",
            (
                "space.optimizer.lr: must have values that can be listed with sampler.kind grid, but any number "
                "between two bounds is one. Use choice(...), ordinal(...), randint(...) or quniform(...), or another "
                "sampler."
            ),
        ),
        (
            "  frozen_layers: lograndint(1, 3)\nsampler: {kind: grid}\n",
            (
                "space.frozen_layers: must have values that can be listed with sampler.kind grid, but those of "
                "lograndint are not steps of equal size, which a grid needs. Use ordinal(...) of some of them, or "
                "another sampler."
            ),
        ),
        (
            "  model.dropout: {distribution: quniform, min: 0, max: 0.5, q: 0.1, prior: 0.1}\nsampler: {kind: grid}\n",
            (
                "space.model.dropout.prior: has no effect with sampler.kind grid, which tries every combination. "
                "Delete it, or use another sampler."
            ),
        ),
    ],
)
def test_a_condition_or_constraint_without_sense_is_explained(tmp_path: Path, settings: str, message: str) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, SWEEP + settings)

    assert message in [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


def test_a_grid_counts_each_trial_once_whatever_the_params_that_it_does_not_have(tmp_path: Path) -> None:
    text = SWEEP.replace("  optimizer.lr: loguniform(1e-4, 1)\n", "") + ON_SGD.replace(
        "uniform, min: 0, max: 0.9", "choice, values: [0.0, 0.5, 0.9]"
    )
    text += 'constraints: ["batch_size > 32 or optimizer.kind == sgd"]\nsampler: {kind: grid}\nbudget: {trials: %d}\n'

    sweep = load(tmp_path, text % 11)
    with pytest.raises(SweepError, match=r"budget.trials: must be at most the size of the grid, which is 11, but got"):
        load(tmp_path, text % 12)

    assert sweep.budget.trials == 11


def test_constraints_that_one_trial_in_a_thousand_keeps_are_accepted_and_met(tmp_path: Path) -> None:
    sweep = load(tmp_path, SWEEP + 'constraints: ["optimizer.lr < 1.0092e-4"]\n')  # ln 1.0092 / ln 1e4 = 1e-3
    study = Study.open(tmp_path / "study.db", replace(SEARCH, space=sweep.space, constraints=sweep.constraints))

    with study:
        trials = study.ask(4)

    assert all(sweep.conditions.allow(trial.params) for trial in trials)


def test_constraints_that_too_few_trials_keep_to_be_found_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SweepError, match=r"constraints: must be kept by at least 10 of 20000 trials .* by [1-9]\. Loosen"
    ):
        load(tmp_path, SWEEP + 'constraints: ["optimizer.lr < 1.0014e-4"]\n')  # ln 1.0014 / ln 1e4 = 1.5e-4
