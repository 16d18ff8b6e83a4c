"""Curves from a file of the user's."""

import math
from pathlib import Path

import numpy as np
import pytest

from hpo.curves import Table
from hpo.errors import DataError

CSV = """\
lr,depth,kind,epoch_1,epoch_2,seconds
0.001,1,adam,0.1,0.2,5
0.1,1,adam,0.3,0.4,6
0.1,5,sgd,0.5,,7
"""


def write(folder: Path, text: str = CSV) -> Path:
    path = folder / "curves.csv"
    path.write_text(text)
    return path


def values(table: Table, **params: float | str) -> list[float]:
    return [metrics["val_accuracy"] for metrics in table.load("val_accuracy").curve(params)]


def test_a_csv_file_holds_params_values_and_seconds(tmp_path: Path) -> None:
    curves = Table(path=write(tmp_path)).load("val_accuracy")

    assert (curves.names, curves.num_epochs) == (("lr", "depth", "kind"), 2)
    assert curves.curve({"lr": 0.1, "depth": 1, "kind": "adam"}) == [
        {"val_accuracy": 0.3, "seconds": 6.0},
        {"val_accuracy": 0.4, "seconds": 6.0},
    ]


def test_an_empty_cell_is_a_value_that_is_missing(tmp_path: Path) -> None:
    assert math.isnan(values(Table(path=write(tmp_path)), lr=0.1, depth=5, kind="sgd")[1])


def test_an_archive_holds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "curves.npz"
    np.savez(path, names=["lr", "depth"], params=[[0.1, 2], [0.3, 4]], curves=[[1.0, 2.0], [3.0, 4.0]])

    assert values(Table(path=path, lookup="exact"), lr=0.3, depth=4) == [3.0, 4.0]


def test_the_nearest_row_is_by_shares_of_each_range(tmp_path: Path) -> None:
    table = Table(path=write(tmp_path))

    # From (0.04, 3, adam) rows lie at 0.039/0.099, 0.06/0.099 of the range of lr, and at half that of depth.
    assert values(table, lr=0.04, depth=3, kind="adam") == [0.1, 0.2]
    assert values(table, lr=0.06, depth=3, kind="adam") == [0.3, 0.4]
    assert values(table, lr=0.06, depth=3, kind="sgd")[0] == 0.5
    assert values(table, lr=0.01, depth=3.2, kind="adam") == [
        0.1,
        0.2,
    ]  # by raw numbers, (0.1, 5, sgd) would be nearest


def test_the_distance_of_a_logarithm_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path)

    assert values(Table(path=path, log=("lr",)), lr=0.02, depth=1, kind="adam") == [0.3, 0.4]
    assert values(Table(path=path), lr=0.02, depth=1, kind="adam") == [0.1, 0.2]


def test_exact_refuses_what_is_not_in_the_table(tmp_path: Path) -> None:
    table = Table(path=write(tmp_path), lookup="exact")

    assert values(table, lr=0.1 + 1e-12, depth=1, kind="adam") == [0.3, 0.4]
    with pytest.raises(DataError, match="lookup: exact needs a row of these params, but there is none: .*'lr': 0.101"):
        values(table, lr=0.101, depth=1, kind="adam")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a .csv table with a line of names"),
        ("lr,epoch_1\n", r"params are \[0, 1\] and curves \[0, 1\]"),
        ("lr\n0.1\n", r"params are \[1, 1\] and curves \[1, 0\]"),
        ("lr,epoch_1\n0.1,0.5\n0.2\n", "curves.csv:3: a line must have 2 values, as the first has. Mend it"),
        ("lr,epoch_1\n0.1,good\n", "values and seconds must be numbers, but could not convert"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Table(path=write(tmp_path, text)).load("val_accuracy")


@pytest.mark.parametrize("name", ["kind", "rate"])
def test_only_numbers_above_0_have_logarithms(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"log may name params above 0, but got {name}. Take it out of log"):
        Table(path=write(tmp_path), log=(name,)).load("val_accuracy")


def test_an_archive_without_names_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "curves.npz", params=[[1.0]], curves=[[1.0]])

    with pytest.raises(DataError, match="must hold names, params and curves, but has no names. Add it"):
        Table(path=tmp_path / "curves.npz").load("val_accuracy")
