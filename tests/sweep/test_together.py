"""Rules between params ask what trials have together, as conditions and constraints leave it."""

from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.sweep import Sweep, check_data, load_sweep
from hpo.training.recipe import raw_params

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.kind: choice(sgd, adamw)
"""
RATES = """\
  effective.lr: {distribution: loguniform, min: 1e-4, max: 1e-2, when: optimizer.kind == sgd}
  optimizer.lr: {distribution: loguniform, min: 1e-4, max: 1e-2, when: optimizer.kind == adamw}
"""
SLOPE = """\
  model.activation: choice(relu, leaky_relu)
  model.leaky_slope: {distribution: uniform, min: 0.1, max: 0.5, when: model.activation == leaky_relu}
"""
NESTEROV = """\
  optimizer.momentum: {distribution: choice, values: [0.0, 0.9], when: optimizer.kind == sgd}
  optimizer.nesterov: {distribution: choice, values: [true, false], when: optimizer.momentum == 0}
"""
NORM_MOMENTUM = "  model.norm_momentum: {distribution: uniform, min: 0.1, max: 0.5, when: optimizer.kind == adamw}\n"
NORMS = "  model.norm: choice(none, batch)\n"
CONDITIONAL_NORM = "  model.norm: {distribution: choice, values: [batch, layer], when: optimizer.kind == sgd}\n"
SIZES = "  batch_size: {distribution: choice, values: [1, 2], when: model.norm == none}\n"
SMALL = "  batch_size: choice(1, 4, 64)\n"
SWA = "  swa_start: {distribution: uniform, min: 0.5, max: 0.9, when: optimizer.kind == sgd}\n"
EMA = "  ema_half_life: {distribution: uniform, min: 1, max: 2, when: optimizer.kind == adamw}\n"


def load(folder: Path, settings: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP + settings)
    return load_sweep(path)


def find_mistakes(folder: Path, settings: str) -> list[str]:
    with pytest.raises(SweepError) as caught:
        load(folder, settings)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    "settings",
    [
        NORMS + SIZES,
        NORMS + SMALL + 'constraints: ["model.norm == none or batch_size >= 8"]\n',
        NORMS + "  batch_size: randint(1, 64)\n" + 'constraints: ["model.norm == none or batch_size >= 8"]\n',
        RATES,
        SWA + EMA,
        SWA + EMA + "export: {weights: averaged}\n",
        "  ema_half_life: choice(0.0, 2.0)\n" + SWA.replace("optimizer.kind == sgd", "ema_half_life == 0"),
    ],
)
def test_what_no_trial_has_together_is_no_mistake(tmp_path: Path, settings: str) -> None:
    sweep = load(tmp_path, settings)

    check_data(sweep, sweep.data.load(sweep.seed))


@pytest.mark.parametrize(
    ("settings", "key", "rule"),
    [
        (NORMS + SIZES.replace("none", "batch"), "space.batch_size", "must be at least 8 with model.norm: batch"),
        (
            NORMS + SMALL + 'constraints: ["model.norm == none or batch_size >= 4"]\n',
            "space.batch_size",
            "must be at least 8 with model.norm: batch, which takes statistics of every batch, but got 4",
        ),
        (RATES.replace("adamw", "sgd"), "space.effective.lr", "must not be searched beside optimizer.lr"),
        (SWA + EMA.replace("adamw", "sgd"), "space.swa_start", "must not be searched beside ema_half_life"),
        (SWA + "export: {weights: averaged}\n", "export.weights", "must be raw where some trials keep no average"),
    ],
)
def test_what_some_trial_has_together_is_refused(tmp_path: Path, settings: str, key: str, rule: str) -> None:
    mistakes = find_mistakes(tmp_path, settings)

    assert len(mistakes) == 1
    assert mistakes[0].startswith(f"{key}: {rule}")


@pytest.mark.parametrize(
    ("settings", "path", "reason"),
    [
        (SLOPE.replace("== leaky_relu", "== relu"), "space.model.leaky_slope", "model.activation is relu"),
        (NESTEROV, "space.optimizer.nesterov", "optimizer.momentum is 0.0"),
        (
            CONDITIONAL_NORM + NORM_MOMENTUM,
            "space.model.norm_momentum",
            "model.norm is none",
        ),
        (
            f'{NORMS}{NORM_MOMENTUM}constraints: ["model.norm == none or optimizer.kind == sgd"]\n',
            "space.model.norm_momentum",
            "model.norm is none",
        ),
    ],
)
def test_a_param_whose_condition_rules_out_what_it_needs_is_refused(
    tmp_path: Path, settings: str, path: str, reason: str
) -> None:
    mistakes = find_mistakes(tmp_path, settings)

    assert mistakes == [f"{path}: has no effect, because {reason}. Delete it, or change that."]


@pytest.mark.parametrize(
    "settings", [SLOPE, NESTEROV.replace("momentum == 0", "momentum > 0"), f"{NORMS}{NORM_MOMENTUM}"]
)
def test_a_param_that_has_an_effect_on_some_trial_that_has_it_is_accepted(tmp_path: Path, settings: str) -> None:
    assert load(tmp_path, settings).name == "sweep"


def test_a_rate_that_is_too_large_only_where_a_constraint_forbids_it_is_accepted(tmp_path: Path) -> None:
    settings = "  effective.lr: choice(1e-3, 0.1)\n  batch_size: choice(32, 512)\n"

    momentum = (
        "  effective.one_minus_momentum: {distribution: choice, values: [0.1, 0.5], when: optimizer.kind == sgd}\n"
    )

    mistakes = find_mistakes(tmp_path, settings + momentum)
    sweep = load(tmp_path, settings + momentum + 'constraints: ["effective.lr < 0.1 or batch_size < 512"]\n')

    assert "comes to 25.6 at effective.one_minus_momentum 0.5, batch_size 512, effective.lr 0.1" in mistakes[0]
    assert sweep.constraints


def test_a_batch_larger_than_the_data_is_no_mistake_where_a_constraint_forbids_it(tmp_path: Path) -> None:
    settings = "  batch_size: choice(64, 4096)\n"
    too_large = load(tmp_path, settings)
    bounded = load(tmp_path, settings + 'constraints: ["batch_size < 4096"]\n')
    splits = bounded.data.load(bounded.seed)

    check_data(bounded, splits)
    with pytest.raises(SweepError, match="space.batch_size: must be at most the .* training examples, but got 4096"):
        check_data(too_large, splits)


def test_each_of_two_spellings_sets_the_rate_of_the_trials_that_have_it(tmp_path: Path) -> None:
    sweep = load(tmp_path, RATES)

    by_coordinate = raw_params(sweep.recipe, {"optimizer.kind": "sgd", "effective.lr": 1e-3}, num_train=1000)
    by_rate = raw_params(sweep.recipe, {"optimizer.kind": "adamw", "optimizer.lr": 2e-3}, num_train=1000)

    assert by_coordinate == {"optimizer.lr": pytest.approx(1e-3 * 64 * (1 - 0.9))}
    assert by_rate == {}


def test_conditions_in_a_circle_through_a_setting_of_a_searched_kind_are_refused(tmp_path: Path) -> None:
    circle = (
        "  optimizer.momentum: {distribution: uniform, min: 0, max: 0.9, when: model.dropout > 0.1}\n"
        "  model.dropout: {distribution: uniform, min: 0, max: 0.5, when: optimizer.momentum > 0.1}\n"
    )

    mistakes = find_mistakes(tmp_path, circle)

    assert len(mistakes) == 1
    assert mistakes[0].startswith("space: conditions must not go round in a circle")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "resources: {workers: 4}\nbatch_size: 3\n",
            "batch_size: must be at least resources.workers, which is 4, for each takes a part of every batch",
        ),
        (
            "  batch_size: randint(2, 64)\nresources: {workers: 4}\n",
            "space.batch_size: must be at least resources.workers, which is 4",
        ),
        (
            "  model.ghost_batch: choice(0, 16)\nmodel: {kind: mlp, norm: batch}\nresources: {workers: 2}\n",
            "space.model.ghost_batch: must be 0 where workers share a batch, whose parts are then others",
        ),
        (
            "resources: {workers: 2, lanes: 8}\n",
            "resources: lanes must be auto or 1 where workers train each trial together, but workers is 2 and lanes 8.",
        ),
        (
            "resources: {workers: 2, gpus: 0.5}\n",
            "resources: gpus must be 0 or 1 where workers train each trial together, on one GPU each",
        ),
    ],
)
def test_what_workers_cannot_share_is_refused(settings: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    text = SWEEP.replace("model: {kind: mlp}\n", "") if "model: {" in settings else SWEEP
    path.write_text(text + settings)

    with pytest.raises(SweepError) as caught:
        load_sweep(path)

    assert message in str(caught.value)


def test_workers_may_share_batches_of_an_example_each(tmp_path: Path) -> None:
    sweep = load(tmp_path, "resources: {workers: 4, lanes: 1}\nbatch_size: 4\n")

    assert sweep.resources.workers == 4
