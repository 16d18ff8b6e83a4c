from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.sweep import check_data, load_sweep
from hpo.sweep.model import Sweep

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
"""
RATE = "  effective.lr: loguniform(1e-3, 1e-2)\n"
KINDS = "sgd, adam, adamw, radam and nadam"


def load(folder: Path, space: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP + space)
    return load_sweep(path)


def find_mistakes(folder: Path, space: str) -> str:
    with pytest.raises(SweepError) as caught:
        load(folder, space)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            "  effective.lrs: uniform(0.1, 1)\n",
            (
                "space.effective.lrs: must be one of effective.one_minus_momentum, effective.one_minus_beta1, "
                "effective.one_minus_beta2, effective.lr, effective.decay_epochs, but there is no such coordinate. "
                "Did you mean `effective.lr`?"
            ),
        ),
        (
            RATE + "  optimizer.lr: loguniform(1e-3, 1)\n",
            (
                "space.effective.lr: must not be searched beside optimizer.lr, which it sets. Drop one of the two, or "
                "give each a condition."
            ),
        ),
        (
            RATE + "optimizer: {kind: rmsprop}\n",
            (
                f"space.effective.lr: is defined for optimizer.kind {KINDS}, but not for rmsprop. "
                "Search optimizer.lr itself, or change the kind."
            ),
        ),
        (
            "  effective.decay_epochs: uniform(1, 2)\n  optimizer.kind: choice(adam, sgd)\n",
            (
                "space.effective.decay_epochs: is defined for optimizer.kind sgd, adamw and muon, but not for adam. "
                "Search optimizer.weight_decay itself, or change the kind."
            ),
        ),
        (
            "  effective.one_minus_beta1: uniform(0.1, 0.2)\n",
            (
                "space.effective.one_minus_beta1: is defined for optimizer.kind adam, adamw, radam, nadam and muon, "
                "but not for sgd. Drop it."
            ),
        ),
        (
            "  effective.one_minus_momentum: uniform(0.1, 2)\n",
            (
                "space.effective.one_minus_momentum: every value must be a number above 0 and at most 1, "
                "but the domain holds 2.0. Change the domain."
            ),
        ),
        (
            "  effective.decay_epochs: choice(none, 2)\n",
            (
                "space.effective.decay_epochs: every value must be a number above 0, but the domain holds none. "
                "Change the domain."
            ),
        ),
    ],
)
def test_a_wrong_coordinate_is_explained(tmp_path: Path, space: str, message: str) -> None:
    mistakes = find_mistakes(tmp_path, space)

    assert mistakes == f"sweep.yaml:5: {message}"


def test_a_rate_that_would_be_too_large_in_a_corner_of_the_space_is_refused(tmp_path: Path) -> None:
    space = "  effective.lr: loguniform(1e-3, 0.1)\n  batch_size: choice(32, 512)\n"

    mistakes = find_mistakes(tmp_path, space + "  effective.one_minus_momentum: loguniform(0.01, 0.5)\n")

    assert mistakes == (
        "sweep.yaml:5: space.effective.lr: must come to optimizer.lr from 1e-05 to 10 everywhere in the space, but "
        "comes to 25.6 at effective.one_minus_momentum 0.5, batch_size 512, effective.lr 0.1. Narrow one of these."
    )


def test_a_rate_that_would_be_too_small_for_one_of_the_kinds_is_refused(tmp_path: Path) -> None:
    space = "  effective.lr: loguniform(1e-6, 1e-3)\n  optimizer.kind: choice(sgd, adamw)\n"

    mistakes = find_mistakes(tmp_path, space)

    assert mistakes == (
        "sweep.yaml:5: space.effective.lr: must come to optimizer.lr from 1e-05 to 10 everywhere in the space, but "
        "comes to 6.4e-06 at effective.lr 1e-06. Narrow one of these."
    )


@pytest.mark.parametrize(
    "space",
    [
        RATE + "points: [{effective.lr: 5e-3}]\n",
        RATE + "  optimizer.momentum: uniform(0, 0.99)\n  batch_size: choice(32, 64)\n",
        "  effective.one_minus_momentum: uniform(0.1, 1)\noptimizer: {kind: sgd, momentum: 0, nesterov: true}\n",
        "  effective.decay_epochs: loguniform(1, 9)\noptimizer: {kind: sgd, weight_decay: 0, decay_mode: decoupled}\n",
        "  effective.one_minus_beta2: loguniform(1e-3, 0.1)\n  optimizer.kind: choice(adamw, radam)\n",
    ],
)
def test_coordinates_that_go_together_are_accepted(tmp_path: Path, space: str) -> None:
    sweep = load(tmp_path, space)

    assert any(path.startswith("effective.") for path in sweep.space)


def test_decay_within_a_step_is_refused_when_the_data_are_known(tmp_path: Path) -> None:
    sweep = load(tmp_path, "  effective.decay_epochs: loguniform(0.1, 10)\n  batch_size: choice(64, 256)\n")

    with pytest.raises(SweepError) as caught:
        check_data(sweep, sweep.data.load(seed=0))

    assert str(caught.value) == (
        "sweep sweep: space.effective.decay_epochs: must last at least one step of 256 examples, "
        "which is 0.237 epochs, but got 0.1. Raise it."
    )
