"""MNIST's own file format, as Fashion-MNIST comes in."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hpo.errors import DataError
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, Splits, split

UNSIGNED_BYTE = 0x08


class FashionMnist(DataOptions):
    """70 000 grey images [1, 28, 28] of ten kinds of clothing (Xiao et al. 2017), or any folder of the same files."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"
    folder: Annotated[Path, Field(strict=False)] = Path("/usr/share/datasets/fashion-mnist")
    """Holds {train,t10k}-{images-idx3,labels-idx1}-ubyte, gzipped or not; Debian's dataset-fashion-mnist is there."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 1 / 6
    """Share of the 60 000 training images that trials are measured on; the 10 000 test images are kept from them."""

    def load(self, seed: int) -> Splits:
        """The splits that belong to a sweep's seed.

        Raises:
            DataError: if a file is missing or is not in IDX format.
        """
        train, test = (self._read(part) for part in ("train", "t10k"))
        return split(train, validation=self.validation, test=test, seed=seed, options=self)

    def _read(self, part: str) -> Examples:
        images = read_idx(self.folder / f"{part}-images-idx3-ubyte")
        labels = read_idx(self.folder / f"{part}-labels-idx1-ubyte")
        return Examples((images[:, None] / np.float32(255)).astype(np.float32), labels.astype(np.int64))


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """One array of unsigned bytes from `path` or `path`.gz (http://yann.lecun.com/exdb/mnist, file formats).

    Raises:
        DataError: if neither file is there, or its header and length do not agree.
    """
    zipped = path.with_name(path.name + ".gz")
    try:
        raw = gzip.decompress(zipped.read_bytes()) if zipped.exists() else path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path}[.gz]: no such file. Install Debian's dataset-fashion-mnist, or set `data.folder` to a folder of "
            "IDX files."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{zipped}: must be gzip, but {error}.") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path}: must be an IDX file of unsigned bytes, but begins with {raw[:4]!r}.")
    shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if len(body) != math.prod(shape):
        raise DataError(f"{path}: the header says {list(shape)}, but {len(body)} bytes follow.")
    return body.reshape(shape)
