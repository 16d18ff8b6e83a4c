"""Arrays of the user's own."""

from pathlib import Path
from typing import Annotated, Literal
from zipfile import is_zipfile

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hpo.errors import DataError
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, Splits, split


class Npz(DataOptions):
    """A numpy archive with `x` [n, ...] and `y` [n]; `x_test` and `y_test`, where there, are the test split."""

    kind: Literal["npz"] = "npz"
    path: Annotated[Path, Field(strict=False)]
    """The archive; object arrays are refused, nothing is unpickled."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of `x` that trials are measured on."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of `x` kept from every trial, unless the archive brings its own test split."""

    def load(self, seed: int) -> Splits:
        """The splits that belong to a sweep's seed.

        Raises:
            DataError: if the file is missing, is no archive, or its arrays do not fit together.
        """
        arrays = read_npz(self.path)
        missing = {"x", "y"} - arrays.keys()
        if missing:
            raise DataError(f"{self.path}: arrays `x` and `y` must be there, but it holds {sorted(arrays)}.")
        if len(arrays.keys() & {"x_test", "y_test"}) == 1:
            raise DataError(f"{self.path}: `x_test` and `y_test` go together, but it holds {sorted(arrays)}.")
        test: float | Examples = self.test
        if arrays.keys() >= {"x_test", "y_test"}:
            test = _as_examples(self.path, arrays["x_test"], arrays["y_test"])
        examples = _as_examples(self.path, arrays["x"], arrays["y"])
        try:
            return split(examples, validation=self.validation, test=test, seed=seed, options=self)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error


def read_npz(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """All arrays of an archive, without ever unpickling.

    Raises:
        DataError: if the file is missing, is no archive, or holds objects.
    """
    if path.is_file() and not is_zipfile(path):  # of which numpy would say how to unpickle it
        raise DataError(f"{path}: must be a .npz archive of plain arrays, but is no zip file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Check the path: in a sweep file, it is relative to the file.") from None
    except Exception as error:  # numpy, zipfile and zlib have no common class
        raise DataError(f"{path}: must be a .npz archive of plain arrays, but {str(error).rstrip('.')}.") from error
    strange = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if strange:
        raise DataError(f"{path}: must be a .npz archive of plain arrays, but holds {', '.join(strange)}.")
    return arrays


def _as_examples(path: Path, x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> Examples:
    if x.ndim < 2 or 0 in x.shape[1:] or x.dtype.kind not in "fiub":
        raise DataError(f"{path}: x must be numbers [n, ...], but is {x.dtype} of shape {list(x.shape)}.")
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{path}: y must be class indices [n], but is {y.dtype} of shape {list(y.shape)}.")
    return Examples(np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.int64))
