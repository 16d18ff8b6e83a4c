"""Data that were made to harm: nothing is unpickled, and each is refused in clear words, before anything trains."""

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hostile.conftest import Sandbox, sweep_file

Write = Callable[[Path], object]


class Payload:
    """Makes a file beside the sandbox when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ../canary",)


def arrays(**others: Any) -> Write:
    """An archive that is good but for `others`."""
    good: dict[str, Any] = {
        "x": np.random.default_rng(0).normal(size=(60, 64)).astype(np.float32),
        "y": np.arange(60) % 3,
    }
    named: dict[str, Any] = {name: np.asarray(value) for name, value in {**good, **others}.items()}
    return lambda path: np.savez(path, **named)


def without(name: str) -> Write:
    """An archive that lacks an array."""
    kept: dict[str, Any] = {"x": np.zeros((60, 64), np.float32), "y": np.arange(60) % 3}
    del kept[name]
    return lambda path: np.savez(path, **kept)


def entry(content: bytes, packing: int = zipfile.ZIP_STORED) -> Write:
    """An archive whose `x` holds these bytes."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.writestr("x.npy", content)
            archive.writestr("y.npy", b"")

    return write


def header(text: str) -> bytes:
    """A numpy array whose header is `text`, and which is empty."""
    raw = text.encode()
    return b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw


def torn(path: Path) -> None:
    arrays()(path)
    path.write_bytes(path.read_bytes()[:-500])


def flipped(path: Path) -> None:
    """Packed, with a byte that is wrong in the middle."""
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(60, 64)), y=np.arange(60) % 3)
    raw = bytearray(path.read_bytes())
    raw[500:540] = bytes(40)
    path.write_bytes(raw)


def single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((60, 64)))


X = np.zeros((60, 64), np.float32)
LIES = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000), }\n"
ARCHIVES: dict[str, tuple[Write, str]] = {
    "inputs_of_objects": (arrays(x=np.array([Payload()] * 60, dtype=object)), "plain arrays"),
    "labels_of_objects": (arrays(y=np.array([Payload()] * 60, dtype=object)), "plain arrays"),
    "a_pickle": (lambda path: path.write_bytes(b"cos\nsystem\n(S'touch ../canary'\ntR."), "plain arrays"),
    "a_pickle_in_an_archive": (entry(b"cos\nsystem\n(S'touch ../canary'\ntR."), "plain arrays"),
    "a_single_array": (single_array, "plain arrays"),
    "a_header_that_calls": (entry(header("__import__('os').system('touch ../canary')\n")), "data.npz"),
    "a_header_that_lies_about_the_size": (entry(header(LIES)), "plain arrays"),
    "a_header_without_a_shape": (entry(header("{'descr': '<f4'}\n")), "plain arrays"),
    "a_header_of_nested_brackets": (entry(header("(" * 5000)), "plain arrays"),
    "nothing": (lambda path: path.write_bytes(b""), "plain arrays"),
    "nul_bytes": (lambda path: path.write_bytes(bytes(1000)), "plain arrays"),
    "a_folder": (lambda path: path.mkdir(), "plain arrays"),
    "a_link_to_itself": (lambda path: path.symlink_to(path), "plain arrays"),
    "a_torn_archive": (torn, "plain arrays"),
    "a_flipped_archive": (flipped, "plain arrays"),
    "an_empty_archive": (lambda path: zipfile.ZipFile(path, "w").close(), "data.npz"),
    "no_inputs": (without("x"), "`x`"),
    "inputs_of_no_rows": (arrays(x=X[:0], y=[]), "data.npz"),
    "inputs_of_no_columns": (arrays(x=X[:, :0]), "data.npz"),
    "inputs_that_are_one_number": (arrays(x=1.0), "data.npz"),
    "inputs_of_text": (arrays(x=np.full((60, 64), "1")), "must be numbers"),
    "inputs_of_complex_numbers": (arrays(x=X * 1j), "must be numbers"),
    "inputs_of_times": (arrays(x=np.zeros((60, 64), "M8[s]")), "must be numbers"),
    "inputs_of_records": (arrays(x=np.zeros((60, 64), [("a", "f4")])), "must be numbers"),
    "inputs_with_a_nan": (arrays(x=np.full((60, 64), np.nan)), "must be finite"),
    "inputs_beyond_float32": (arrays(x=np.full((60, 64), 1e300)), "must be finite"),
    "labels_of_floats": (arrays(y=np.zeros(60)), "y must be class indices"),
    "labels_of_another_length": (arrays(y=np.arange(61)), "data.npz"),
    "labels_in_a_table": (arrays(y=np.zeros((60, 2), int)), "y must be class indices"),
    "labels_below_zero": (arrays(y=np.arange(60) - 1), "data.npz"),
    "labels_beyond_all": (arrays(y=np.full(60, 10**12)), "data.npz"),
    "labels_beyond_64_bits": (arrays(y=np.full(60, 2**64 - 1, np.uint64)), "data.npz"),
}
ONLY_TRAINED_ON: dict[str, tuple[Write, str]] = {
    "no_labels": (without("y"), "`y`"),
    "one_class": (arrays(y=np.zeros(60, int)), "two classes"),
    "half_a_test_split": (arrays(x_test=X), "`x_test` and `y_test` go together"),
    "a_test_split_of_another_shape": (arrays(x_test=X[:, :3], y_test=np.arange(60)), "test set"),
    "a_test_split_with_labels_beyond_all": (arrays(x_test=X, y_test=np.full(60, 10**9)), "test set"),
    "two_examples": (arrays(x=X[:2], y=[0, 1]), "too few"),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("name", [*ARCHIVES, *ONLY_TRAINED_ON])
def test_an_archive_is_not_trained_on(name: str, sandbox: Sandbox) -> None:
    write, said = (ARCHIVES | ONLY_TRAINED_ON)[name]
    write(sandbox.here / "data.npz")
    (sandbox.here / "hostile.yaml").write_text(sweep_file(data="{kind: npz, path: data.npz}"))

    sandbox.check_refuses("run hostile.yaml", said, "data.npz")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_not_predicted(name: str, sandbox: Sandbox) -> None:
    ARCHIVES[name][0](sandbox.here / "data.npz")

    sandbox.check_refuses(f"predict {sandbox.sweep / 'best'} data.npz", "data.npz")


def idx(*shape: int, content: bytes = b"") -> bytes:
    return bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape) + content


IMAGES = {
    "a_size_that_lies": idx(2**32 - 1, 2**32 - 1, 2**32 - 1),
    "more_dimensions_than_bytes": bytes([0, 0, 8, 255]) + bytes(8),
    "another_type": bytes([0, 0, 13, 1]) + bytes(8),
    "nothing": b"",
    "a_torn_gzip": gzip.compress(idx(9, 28, 28, content=bytes(9 * 784)))[:-20],
    "a_flipped_gzip": gzip.compress(os.urandom(500))[:200] + bytes(100) + gzip.compress(os.urandom(500))[300:],
    "a_gzip_in_a_gzip": gzip.compress(gzip.compress(b"x")),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_folder_of_idx_files_is_refused(name: str, sandbox: Sandbox) -> None:
    content = IMAGES[name]
    suffix = ".gz" if "gzip" in name else ""
    for part in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (sandbox.here / f"{part}{suffix}").write_bytes(content)
    (sandbox.here / "t10k-labels-idx1-ubyte").write_bytes(idx(0))
    (sandbox.here / "hostile.yaml").write_text(sweep_file(data="{kind: fashion_mnist, folder: .}"))

    sandbox.check_refuses("run hostile.yaml", "train-images-idx3-ubyte")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "records of 3073 bytes"),
        (bytes(100), "records of 3073 bytes"),
        (bytes([255]) + bytes(3072), "classes must be 0 to 9, but one is 255"),
    ],
    ids=["nothing", "half_a_record", "a_class_beyond_all"],
)
def test_a_folder_of_cifar10_is_refused(content: bytes, said: str, sandbox: Sandbox) -> None:
    for part in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        (sandbox.here / f"{part}.bin").write_bytes(content)
    (sandbox.here / "hostile.yaml").write_text(sweep_file(data="{kind: cifar10, folder: .}"))

    sandbox.check_refuses("run hostile.yaml", "data_batch_1.bin", said)


def test_the_python_version_of_cifar10_is_not_unpickled(sandbox: Sandbox) -> None:
    (sandbox.here / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch ../canary'\ntR.")
    (sandbox.here / "hostile.yaml").write_text(sweep_file(data="{kind: cifar10, folder: .}"))

    sandbox.check_refuses("run hostile.yaml", "pickles can run any code")


def png(width: int, height: int) -> bytes:
    """An image that says it is of this size, and has no pixels."""
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new("RGB", (1, 1)).save(buffer, "PNG")
    raw = bytearray(buffer.getvalue())
    raw[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.parametrize("name", ["a_pickle", "a_huge_image", "an_image_of_no_pixels"])
def test_a_folder_of_images_is_refused(name: str, sandbox: Sandbox) -> None:
    contents: dict[str, Callable[[], bytes]] = {
        "a_pickle": lambda: b"cos\nsystem\n(S'touch ../canary'\ntR.",
        "a_huge_image": lambda: png(10**6, 10**6),
        "an_image_of_no_pixels": lambda: png(0, 0),
    }
    for label in ("cat", "dog"):
        (sandbox.here / "pets" / label).mkdir(parents=True)
        (sandbox.here / "pets" / label / "1.png").write_bytes(contents[name]())
    (sandbox.here / "hostile.yaml").write_text(sweep_file(data="{kind: images, folder: pets}"))

    sandbox.check_refuses("run hostile.yaml", "1.png", "must be a PNG or JPEG image")
