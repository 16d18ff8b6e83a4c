"""CIFAR-10 in its binary version."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hpo.errors import DataError
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, Splits, split

SHAPE = (3, 32, 32)
NUM_CLASSES = 10
RECORD = 1 + 3 * 32 * 32
"""Bytes of an example: its class, then red, green and blue, row by row."""


class Cifar10(DataOptions):
    """60 000 colour images [3, 32, 32] of ten classes, in [0, 1] (Krizhevsky 2009)."""

    kind: Literal["cifar10"] = "cifar10"
    folder: Annotated[Path, Field(strict=False)]
    """Holds data_batch_1.bin to data_batch_5.bin and test_batch.bin; the Python version, of pickles, is refused."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the 50 000 training images that trials are measured on; the 10 000 test images are kept from them."""

    def load(self, seed: int) -> Splits:
        """The splits that belong to a sweep's seed.

        Raises:
            DataError: if a file is missing or is not in the binary format.
        """
        parts = [_read(self.folder / f"data_batch_{number}.bin") for number in range(1, 6)]
        train = Examples(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
        test = _read(self.folder / "test_batch.bin")
        return split(train, validation=self.validation, test=test, seed=seed, options=self)


def _read(path: Path) -> Examples:
    try:
        raw = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        remedy = "Set `data.folder` to the folder of CIFAR-10's binary version (cifar-10-batches-bin)."
        if path.with_suffix("").exists():
            remedy = f"What lies there is the Python version, whose pickles can run any code. {remedy}"
        raise DataError(f"{path}: no such file. {remedy}") from None
    if len(raw) == 0 or len(raw) % RECORD:
        raise DataError(f"{path}: must hold records of {RECORD} bytes, but has {len(raw)} bytes. Download it again.")
    records = raw.reshape(-1, RECORD)
    if records[:, 0].max() >= NUM_CLASSES:
        raise DataError(f"{path}: classes must be 0 to 9, but one is {records[:, 0].max()}. Download it again.")
    x = records[:, 1:].reshape(-1, *SHAPE) / np.float32(255)
    return Examples(x.astype(np.float32), records[:, 0].astype(np.int64))
