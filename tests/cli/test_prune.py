"""`hpo prune`: the curve, its bundles, and what is refused before anything is trained."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hpo.export import load_bundle
from tests.cli.conftest import Hpo

NUM_WEIGHTS = 64 * 16 + 16 * 10
"""Of the small network: biases are not pruned."""


def read_card(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "card.json").read_text()))


def raw_validation() -> tuple[np.ndarray, np.ndarray]:
    from hpo.training.data import Digits

    splits = Digits().load(0)
    return splits.validation.x * splits.normalization.std + splits.normalization.mean, splits.validation.y


def test_prune_shows_the_curve_and_writes_it_with_a_bundle_for_each_amount(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("prune", "small", tmp_path / "pruned", "--amounts", "0.9,0,0.5", "--finetune-epochs", "2")

    lines = [line.split() for line in done.stdout.splitlines()]
    rows = list(csv.DictReader((tmp_path / "pruned" / "curve.csv").open()))
    assert done.exit_code == 0
    assert lines[0] == ["pruned", "val_accuracy", "val_loss", "non-zero", "parameters", "bytes", "bundle"]
    assert [line[0] for line in lines[1:]] == ["0", "0.5", "0.9"]
    assert [int(row["num_nonzero"]) for row in rows] == [NUM_WEIGHTS, NUM_WEIGHTS // 2, 118]  # a tenth is 118.4
    assert {row["num_parameters"] for row in rows} == {str(NUM_WEIGHTS + 16 + 10)}
    x, labels = raw_validation()
    for row in rows:
        bundle = load_bundle(Path(row["bundle"]))
        accuracy = (bundle.predict(x).argmax(1) == labels).mean()
        assert float(row["val_accuracy"]) == pytest.approx(accuracy, abs=1e-6)
        assert bundle.card.model.num_bytes == int(row["num_bytes"])


def test_pruning_by_0_is_the_trial_itself(hpo: Hpo, tmp_path: Path, examples: Path) -> None:
    hpo("export", "small/2", tmp_path / "whole")
    [row] = json.loads(hpo("prune", "small/2", tmp_path / "pruned", "--amounts", "0", "--json").stdout)

    x = np.load(examples)["x"]
    whole = load_bundle(tmp_path / "whole")
    assert np.array_equal(load_bundle(Path(row["bundle"])).predict(x), whole.predict(x))
    assert row["val_accuracy"] == read_card(tmp_path / "whole")["metrics"]["val_accuracy"]  # type: ignore[index]


def test_structured_pruning_makes_a_smaller_network_and_the_card_says_so(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("prune", "small", tmp_path / "pruned", "--mode", "structured", "--amounts", "0.5", "--json")

    [row] = json.loads(done.stdout)
    card = read_card(Path(row["bundle"]))
    assert row["num_parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert card["pruning"] == {"mode": "structured", "amount": 0.5, "finetune_epochs": 5}
    assert card["recipe"]["model"]["hidden"] == [8]  # type: ignore[index]
    assert card["metrics"] == {"val_accuracy": row["val_accuracy"], "val_loss": row["val_loss"]}


def test_fine_tuning_wins_back_much_of_what_pruning_costs(hpo: Hpo, tmp_path: Path) -> None:
    arguments = ("prune", "small", "--amounts", "0.8", "--json", "--finetune-epochs")

    [cut] = json.loads(hpo(*arguments, "0", tmp_path / "cut").stdout)
    [tuned] = json.loads(hpo(*arguments, "5", tmp_path / "tuned").stdout)

    assert tuned["num_nonzero"] == cut["num_nonzero"]
    assert tuned["val_loss"] < cut["val_loss"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--amounts", "0.5,1"), 1, "error: an amount must be a share from 0 and below 1, but got 1.0. Change it."),
        (("--amounts", "0.5,-0.1"), 1, "error: an amount must be a share from 0 and below 1, but got -0.1. Change it."),
        (("--amounts", "nan"), 1, "error: an amount must be a share from 0 and below 1, but got nan. Change it."),
        (("--amounts", "0.5,0.50"), 1, "error: amounts must differ, but 0.5 stands there more than once. Drop one."),
        (("--amounts", "half"), 2, "must be numbers with commas between, such as 0.5,0.9, but got half"),
        (("--mode", "random"), 2, "'random' is not one of"),
        (("--finetune-epochs", "-1"), 2, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(
    hpo: Hpo, tmp_path: Path, options: tuple[str, str], code: int, message: str
) -> None:
    done = hpo("prune", "small", tmp_path / "pruned", *options)

    assert done.exit_code == code
    assert message in " ".join(done.stderr.replace("\u2502", " ").split())
    assert not (tmp_path / "pruned").exists()


def test_a_folder_that_holds_something_is_left_alone(hpo: Hpo, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    done = hpo("prune", "small", tmp_path)

    assert done.exit_code == 1
    assert done.stderr == f"error: {tmp_path}: must be new or empty, but holds something. Name another folder.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
