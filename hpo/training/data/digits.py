"""Handwritten digits that come with scikit-learn."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hpo.errors import DataError
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, Splits, split


class Digits(DataOptions):
    """1 797 grey images [1, 8, 8] of ten digits, in [0, 1] (Alpaydin & Kaynak 1998)."""

    kind: Literal["digits"] = "digits"
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of all examples that trials are measured on."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of all examples kept from every trial."""

    def load(self, seed: int) -> Splits:
        """The splits that belong to a sweep's seed."""
        return split(_read(), validation=self.validation, test=self.test, seed=seed, options=self)


def _read() -> Examples:
    """As `sklearn.datasets.load_digits` reads them; to import scikit-learn for it would take a second."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("data.kind: digits come with scikit-learn, which is not installed. pip install scikit-learn.")
    rows = np.loadtxt(Path(found.origin).parent / "datasets/data/digits.csv.gz", delimiter=",")
    x = (rows[:, :-1].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    return Examples(x, rows[:, -1].astype(np.int64))
