import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.errors import DataError
from hpo.training.data import Cifar10, Images, Mnist1d


def write_images(folder: Path, num_images: int = 5, size: tuple[int, int] = (6, 4), suffix: str = "png") -> np.ndarray:
    """Classes cat and dog; pixels [2, num_images, height, width, 3]."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, num_images, *size, 3), dtype=np.uint8)
    for name, images in zip(("cat", "dog"), pixels, strict=True):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / name / f"{number}.{suffix}")
    return pixels


def test_a_folder_of_class_folders_is_read_by_name(tmp_path: Path) -> None:
    pixels = write_images(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")

    splits = Images(folder=tmp_path, test=0.0, input_norm="none").load(0)

    assert (splits.input_shape, splits.num_classes) == ((3, 6, 4), 2)
    found = {
        (x.tobytes(), int(y)) for part in (splits.train, splits.validation) for x, y in zip(part.x, part.y, strict=True)
    }
    written = pixels.transpose(0, 1, 4, 2, 3) / np.float32(255)
    assert found == {(image.tobytes(), number) for number in (0, 1) for image in written[number].astype(np.float32)}


def test_a_second_folder_is_the_test_split(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    pixels = write_images(tmp_path / "test", num_images=2)

    splits = Images(folder=tmp_path / "train", test_folder=tmp_path / "test").load(0)

    assert splits.test is not None
    np.testing.assert_allclose(splits.test.x[3], pixels[1, 1].transpose(2, 0, 1) / 255, atol=1e-6)
    assert len(splits.train) + len(splits.validation) == 10


def test_images_may_be_resized_and_grey(tmp_path: Path) -> None:
    for name, brightness in (("dark", 50), ("light", 200)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (10 + number, 8), (brightness,) * 3).save(tmp_path / name / f"{number}.jpg")

    splits = Images(folder=tmp_path, size=5, grey=True, test=0.0, input_norm="none").load(0)

    assert splits.input_shape == (1, 5, 5)
    expected = np.where(splits.train.y == 0, 50, 200) / 255
    assert splits.train.x.mean((1, 2, 3)) == pytest.approx(expected, abs=0.01)


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nope: no such folder"):
        Images(folder=tmp_path / "nope").load(0)
    with pytest.raises(DataError, match=r"must hold a folder for each of two or more classes, but holds \[\]"):
        Images(folder=tmp_path).load(0)
    write_images(tmp_path / "data")
    Image.new("RGB", (9, 9)).save(tmp_path / "data" / "dog" / "odd.png")
    with pytest.raises(DataError, match=r"odd.png: must be \[6, 4\] pixels, as the first image, but is \[9, 9\]"):
        Images(folder=tmp_path / "data").load(0)
    (tmp_path / "data" / "dog" / "odd.png").write_text("no image")
    with pytest.raises(DataError, match="odd.png: must be a PNG or JPEG image"):
        Images(folder=tmp_path / "data").load(0)
    (tmp_path / "data" / "eel").mkdir()
    with pytest.raises(DataError, match="eel: must hold .png, .jpg or .jpeg files, but there are none"):
        Images(folder=tmp_path / "data").load(0)


def test_a_test_folder_of_other_classes_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "test")
    (tmp_path / "test" / "eel").mkdir()

    with pytest.raises(DataError, match=r"must hold the classes \['cat', 'dog'\], but holds \['cat', 'dog', 'eel'\]"):
        Images(folder=tmp_path / "train", test_folder=tmp_path / "test").load(0)


def test_the_binary_version_of_cifar10_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (4, 3073), dtype=np.uint8)
        records[:, 0] = [9, 0, 1, 2]
        records.tofile(tmp_path / f"{name}.bin")

    splits = Cifar10(folder=tmp_path).load(0)

    assert (len(splits.train), len(splits.validation), splits.num_classes) == (18, 2, 10)
    assert splits.input_shape == (3, 32, 32)
    assert splits.test is not None
    assert splits.test.y.tolist() == [9, 0, 1, 2]
    green, row, column = 1, 2, 5
    assert splits.test.x[3, green, row, column] == pytest.approx(records[3, 1 + 1024 + 2 * 32 + 5] / 255)


def test_what_is_not_the_binary_version_of_cifar10_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_batch_1.bin: no such file. Set `data.folder`"):
        Cifar10(folder=tmp_path).load(0)
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02")
    with pytest.raises(DataError, match="What lies there is the Python version, whose pickles can run any code"):
        Cifar10(folder=tmp_path).load(0)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3000))
    with pytest.raises(DataError, match="must hold records of 3073 bytes, but has 3000 bytes"):
        Cifar10(folder=tmp_path).load(0)


def test_mnist1d_is_made_the_same_every_time_and_leaves_numpys_luck_alone() -> None:
    pytest.importorskip("mnist1d")
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand(2)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002

    first, again = (Mnist1d(num_examples=100).load(0) for _ in range(2))

    assert np.random.rand(2).tolist() == expected.tolist()  # noqa: NPY002
    assert first.digest == again.digest
    assert (len(first.train), len(first.validation), first.input_shape, first.num_classes) == (64, 16, (40,), 10)
    assert first.test is not None
    assert len(first.test) == 20


@pytest.mark.parametrize(
    ("module", "message"), [("mnist1d.data", "pip install mnist1d"), ("PIL.Image", "pip install pillow")]
)
def test_a_package_that_is_not_installed_is_named(
    module: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    kind = Images(folder=tmp_path) if "PIL" in module else Mnist1d()

    with pytest.raises(DataError, match=message):
        kind.load(0)
