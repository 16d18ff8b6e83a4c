import gzip
import struct
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hpo.errors import DataError
from hpo.training.data import Digits, Examples, FashionMnist, Npz, Splits
from hpo.training.data.idx import read_idx
from hpo.training.data.splits import split


def numbered(num_examples: int, num_classes: int = 3) -> Examples:
    """Each input is its own number, so that one can tell where it went."""
    x = np.arange(num_examples, dtype=np.float32)[:, None]
    return Examples(x, np.arange(num_examples, dtype=np.int64) % num_classes)


def raw(splits: Splits, part: Examples) -> list[int]:
    normal = splits.normalization
    return [round(float(number)) for number in (part.x * normal.std + normal.mean).ravel()]


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def test_every_example_is_in_one_split() -> None:
    splits = split(numbered(50), validation=0.2, test=0.1, seed=0)

    assert splits.test is not None
    parts = [raw(splits, splits.train), raw(splits, splits.validation), splits.test.x.astype(int).ravel().tolist()]
    assert [len(part) for part in parts] == [35, 10, 5]
    assert sorted(chain(*parts)) == list(range(50))


def test_labels_stay_with_their_inputs() -> None:
    splits = split(numbered(50), validation=0.2, test=0.1, seed=0)

    assert splits.train.y.tolist() == [number % 3 for number in raw(splits, splits.train)]
    assert splits.num_classes == 3


def test_the_seed_decides_the_split_and_the_digest_tells() -> None:
    first, again, other = (split(numbered(50), validation=0.2, test=0.1, seed=seed) for seed in (0, 0, 1))

    assert raw(first, first.train) == raw(again, again.train) != raw(other, other.train)
    assert first.digest == again.digest != other.digest


def test_the_normalization_is_fitted_on_the_training_split_alone() -> None:
    splits = split(numbered(50), validation=0.2, test=0.1, seed=0)

    numbers = raw(splits, splits.train)
    assert splits.train.x.mean() == pytest.approx(0, abs=1e-6)
    assert splits.train.x.std() == pytest.approx(1, abs=1e-6)
    assert splits.normalization.mean.item() == pytest.approx(np.mean(numbers))


def test_images_are_normalised_by_channel_and_a_constant_channel_stays_finite() -> None:
    x = np.random.default_rng(0).normal(5, 3, (40, 2, 4, 4)).astype(np.float32)
    x[:, 1] = 7

    splits = split(Examples(x, np.arange(40) % 2), validation=0.25, test=0.0, seed=0)

    assert splits.normalization.mean.shape == (2, 1, 1)
    assert splits.train.x[:, 1].tolist() == np.zeros((30, 4, 4)).tolist()
    assert splits.test is None
    assert splits.input_shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), [0, 1], "x and y must be equally long, but x has 3 rows and y has 2."),
        (np.zeros((0, 2)), [], "there must be examples, but x has no rows."),
        (np.full((3, 2), np.nan), [0, 1, 0], "x must be finite, but holds NaN or infinity."),
        (np.zeros((3, 2)), [0, -1, 1], "labels must be class indices from 0, but the least is -1."),
        (np.zeros((3, 2)), [0, 0, 0], "labels must name at least two classes, but all are 0."),
        (np.zeros((2, 2)), [0, 1], "the validation split must hold at least one example, but 2 are too few."),
    ],
)
def test_examples_that_cannot_be_trained_on_are_refused(x: npt.NDArray[np.float64], y: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(Examples(x.astype(np.float32), np.array(y, dtype=np.int64)), validation=0.2, test=0.0, seed=0)


def test_digits_are_split_by_the_shares_asked_for() -> None:
    splits = Digits(validation=0.25, test=0.0).load(0)

    assert (len(splits.train), len(splits.validation), splits.test) == (1348, 449, None)
    assert (splits.input_shape, splits.num_classes) == ((1, 8, 8), 10)


def test_an_archive_may_bring_its_own_test_split(tmp_path: Path) -> None:
    ours, theirs = numbered(20), numbered(6)
    np.savez(tmp_path / "data.npz", x=ours.x, y=ours.y, x_test=theirs.x, y_test=theirs.y)

    splits = Npz(path=tmp_path / "data.npz").load(0)

    assert splits.test is not None
    assert splits.test.x.tolist() == theirs.x.tolist()
    assert len(splits.train) + len(splits.validation) == 20


def test_an_archive_without_a_test_split_gives_a_share(tmp_path: Path) -> None:
    examples = numbered(20)
    np.savez(tmp_path / "data.npz", x=examples.x, y=examples.y)

    splits = Npz(path=tmp_path / "data.npz", test=0.1).load(0)

    assert splits.test is not None
    assert len(splits.test) == 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 2))}, r"arrays `x` and `y` must be there, but it holds \['x'\]"),
        ({"x": np.zeros(4), "y": np.arange(4)}, r"x must be numbers \[n, ...\], but is float64 of shape \[4\]"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4)}, r"y must be class indices \[n\], but is float64 of shape \[4\]"),
        ({"x": np.array([[{}]]), "y": np.arange(1)}, "must be a .npz archive of plain arrays, but Object .*=False\\.$"),
    ],
)
def test_an_archive_that_does_not_fit_is_refused(
    tmp_path: Path, arrays: dict[str, npt.NDArray[np.generic]], message: str
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]

    with pytest.raises(DataError, match=message):
        Npz(path=tmp_path / "data.npz").load(0)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_text("x,y\n")

    with pytest.raises(DataError, match=r"must be a .npz archive of plain arrays, but is no zip file\.$"):
        Npz(path=tmp_path / "data.npz").load(0)
    with pytest.raises(DataError, match="nope.npz: no such file. Check the path: in a sweep file, it is relative to"):
        Npz(path=tmp_path / "nope.npz").load(0)


@pytest.mark.parametrize("zipped", [False, True])
def test_an_idx_folder_is_read_gzipped_or_not(tmp_path: Path, zipped: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    for part, num_images in (("train", 12), ("t10k", 5)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", pixels[:num_images])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.arange(num_images, dtype=np.uint8) % 3)
    if zipped:
        for path in list(tmp_path.iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()

    splits = FashionMnist(folder=tmp_path, validation=0.25).load(0)

    assert (len(splits.train), len(splits.validation)) == (9, 3)
    assert splits.test is not None
    assert splits.test.x[:, 0] == pytest.approx(pixels[:5] / 255)
    assert splits.test.y.tolist() == [0, 1, 2, 0, 1]


def test_an_idx_file_that_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"

    with pytest.raises(DataError, match=r"no such file. Install Debian's dataset-fashion-mnist"):
        read_idx(path)
    path.write_text("PNG")
    with pytest.raises(DataError, match="must be an IDX file of unsigned bytes, but begins with b'PNG'"):
        read_idx(path)
    path.write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 9) + b"12345")
    with pytest.raises(DataError, match=r"the header says \[9\], but 5 bytes follow"):
        read_idx(path)
    path.with_name(f"{path.name}.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"\.gz: must be gzip, but"):
        read_idx(path)
