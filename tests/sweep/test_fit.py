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
            "pathlib:Paht",
            (
                "pathlib:Paht must name a function that Python can import from the folder of the sweep, "
                "but module 'pathlib' has no attribute 'Paht'."
            ),
        ),
        ("builtins:dict", "builtins:dict must return a torch.nn.Module, but returned a dict."),
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
