from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.sweep import check_data, load_sweep
from hpo.training.data import Splits

DIGITS = Path(__file__).parents[2] / "experiments" / "digits.yaml"
SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load_sweep(DIGITS).data.load(seed=0)


def check(folder: Path, text: str, splits: Splits) -> None:
    path = folder / "fit.yaml"
    path.write_text(text)
    check_data(load_sweep(path), splits)


def test_a_sweep_that_fits_its_data_is_accepted(digits: Splits) -> None:
    check_data(load_sweep(DIGITS), digits)


def test_a_base_model_that_cannot_take_the_inputs_is_refused(tmp_path: Path, digits: Splits) -> None:
    text = SWEEP.replace("kind: mlp", "kind: cnn, channels: [8, 8, 8, 8]")

    with pytest.raises(SweepError) as caught:
        check(tmp_path, text, digits)

    assert str(caught.value) == (
        "sweep fit: model: cnn with 4 blocks needs images [channels, height, width] of at least 16 x 16, "
        "but the data have shape [1, 8, 8]. Use fewer channels, or an mlp."
    )


@pytest.mark.parametrize(
    "space",
    [
        "  model.channels: choice([8, 8], [8, 8, 8, 8])\n",
        "  model.channels: choice([8, 8], [8, 8, 8, 8])\n  model.dropout: uniform(0, 0.5)\n",
    ],
)
def test_a_choice_that_cannot_take_the_inputs_is_refused_at_its_path(
    tmp_path: Path, space: str, digits: Splits
) -> None:
    text = SWEEP.replace("kind: mlp", "kind: cnn") + space

    with pytest.raises(SweepError) as caught:
        check(tmp_path, text, digits)

    assert [problem.key for problem in caught.value.problems] == ["space.model.channels"]


def make_a_dict(input_shape: object, num_classes: object) -> dict[str, object]:
    return {"input_shape": input_shape, "num_classes": num_classes}


def make_anything(input_shape: object, **others: object) -> object:
    raise AssertionError(f"was called with {input_shape} and {others}")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            "nowhere.nets:make",
            (
                "nowhere.nets:make must name a function that Python can import from the folder of the sweep, "
                "but No module named 'nowhere'."
            ),
        ),
        (
            "typer:Paht",
            (
                "typer:Paht must name a function that Python can import from the folder of the sweep, "
                "but module 'typer' has no attribute 'Paht'."
            ),
        ),
        (
            "tests.sweep.test_fit:make_a_dict",
            "tests.sweep.test_fit:make_a_dict must return a torch.nn.Module, but returned a dict.",
        ),
        (
            "typer:echo",
            (
                "typer:echo must be a function of input_shape, num_classes, by name, "
                "but got an unexpected keyword argument 'input_shape'."
            ),
        ),
        (
            "tests.sweep.test_fit:make_anything",
            (
                "tests.sweep.test_fit:make_anything must be a function of input_shape, num_classes, by name, "
                "but it does not name num_classes."
            ),
        ),
    ],
)
def test_a_model_of_the_users_own_that_cannot_be_made_is_refused(
    tmp_path: Path, digits: Splits, factory: str, message: str
) -> None:
    with pytest.raises(SweepError) as caught:
        check(tmp_path, SWEEP.replace("{kind: mlp}", factory), digits)

    assert str(caught.value) == f"sweep fit: model: {message}"


@pytest.mark.parametrize(
    ("line", "key", "size"),
    [
        ("batch_size: 2000", "batch_size", 2000),
        ("  batch_size: choice(32, 4096)", "space.batch_size", 4096),
        ("  batch_size: randint(32, 1500)", "space.batch_size", 1500),
    ],
)
def test_a_batch_larger_than_the_training_split_is_refused(
    tmp_path: Path, line: str, key: str, size: int, digits: Splits
) -> None:
    with pytest.raises(SweepError) as caught:
        check(tmp_path, SWEEP + line + "\n", digits)

    assert str(caught.value) == (
        f"sweep fit: {key}: must be at most the {len(digits.train)} training examples, but got {size}. Lower it."
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "batch_growth: {every: 0.15}",
            (
                "batch_growth.every: batches must stay within the 1258 training examples, but grow to 4096. "
                "Raise it, or set batch_growth.most to at most 1258."
            ),
        ),
        (
            "  batch_growth.every: choice(0, 0.15)",
            (
                "space.batch_growth.every: batches must stay within the 1258 training examples, but grow to 4096. "
                "Raise it, or set batch_growth.most to at most 1258."
            ),
        ),
        (
            "batch_growth: {every: 0.3, most: 64}",
            (
                "batch_growth: must let batches grow, but they stay at 64 examples, for `every` is 0.3 of 27 epochs, "
                "and `most` is 64. Change one of these, or delete batch_growth."
            ),
        ),
        (
            "batch_size: 1258\noptimizer: {kind: lbfgs}\nbatch_growth: {every: 0.3}",
            (
                "batch_growth.every: must be 0 for optimizer.kind lbfgs, whose batch holds all training examples from "
                "the start, but got 0.3. Set it to 0, or use another optimizer."
            ),
        ),
    ],
)
def test_batches_that_outgrow_the_data_or_do_not_grow_are_refused(
    tmp_path: Path, lines: str, message: str, digits: Splits
) -> None:
    with pytest.raises(SweepError) as caught:
        check(tmp_path, SWEEP + lines + "\n", digits)

    assert str(caught.value) == f"sweep fit: {message}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "mlp}",
            "mlp}\naugmentation: {cutout: 9}",
            (
                "augmentation: augmentation.cutout must be at most 8, for images have 8 pixels "
                "along their shorter side, "
                "but is 9. Lower it."
            ),
        ),
        (
            "space:\n",
            "space:\n  augmentation.translate: choice(0, 2, 9)\n",
            (
                "space.augmentation.translate: augmentation.translate must be at most 7, for "
                "images have 8 pixels along "
                "their shorter side, but is 9. Lower it."
            ),
        ),
        (
            "mlp}",
            "mlp}\ninitializer: {kind: dirac}",
            ("initializer.kind: dirac needs convolutions, but the model has none. Use kaiming_normal, or a cnn."),
        ),
        (
            "space:\n",
            "space:\n  initializer.kind: choice(orthogonal, dirac)\n",
            ("space.initializer.kind: dirac needs convolutions, but the model has none. Use kaiming_normal, or a cnn."),
        ),
        (
            "mlp}\n",
            "resnet}\noptimizer: {kind: muon}\n",
            "optimizer.kind: muon needs a hidden dense layer, but the network has none. Use adamw.",
        ),
        (
            "mlp}",
            "mlp}\noptimizer: {kind: lbfgs}",
            (
                "batch_size: must be all 1258 training examples for optimizer.kind lbfgs, whose "
                "loss must stay the same "
                "along a line, but got 64. Change it, or use another optimizer."
            ),
        ),
        (
            "mlp}\n",
            "mlp}\nbatch_size: 1258\noptimizer: {kind: lbfgs}\nregularizer: {l1: 0.1}\n",
            (
                "regularizer.l1: must be 0 for optimizer.kind lbfgs, which needs the gradient of "
                "its loss as it is, but "
                "got 0.1. Set it to 0, or use another optimizer."
            ),
        ),
        (
            "space:\n",
            "space:\n  optimizer.kind: choice(sgd, lbfgs)\n",
            (
                "space.optimizer.kind: must be all 1258 training examples for optimizer.kind "
                "lbfgs, whose loss must stay "
                "the same along a line, but got 64. Change it, or use another optimizer."
            ),
        ),
        (
            "space:\n",
            "optimizer: {kind: lbfgs}\nspace:\n  batch_size: choice(32, 1258)\n",
            (
                "space.batch_size: must be all 1258 training examples for optimizer.kind lbfgs, "
                "whose loss must stay the "
                "same along a line, but got 32. Change it, or use another optimizer."
            ),
        ),
    ],
)
def test_what_cannot_be_trained_on_the_data_is_refused_at_its_path(
    tmp_path: Path, digits: Splits, old: str, new: str, message: str
) -> None:
    with pytest.raises(SweepError) as caught:
        check(tmp_path, SWEEP.replace(old, new), digits)

    assert str(caught.value) == f"sweep fit: {message}"


def test_a_starting_value_that_is_never_tried_is_no_mistake(tmp_path: Path, digits: Splits) -> None:
    text = SWEEP.replace("mlp", "cnn, channels: [8, 8, 8, 8]") + "  model.channels: choice([8], [8, 8])\n"

    check(tmp_path, text, digits)
