"""Handwritten digits that come with scikit-learn."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hpo.config import Config
from hpo.training.data.splits import Examples, Splits, split


class Digits(Config):
    """1 797 grey images [1, 8, 8] of ten digits, in [0, 1] (Alpaydin & Kaynak 1998)."""

    kind: Literal["digits"] = "digits"
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of all examples that trials are measured on."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of all examples kept from every trial."""

    def load(self, seed: int) -> Splits:
        """The splits that belong to a sweep's seed."""
        from sklearn.datasets import load_digits  # noqa: PLC0415 - a second to import, and only digits need it

        bunch = load_digits()
        x = (bunch.images[:, None] / 16).astype(np.float32)
        examples = Examples(x, bunch.target.astype(np.int64))
        return split(examples, validation=self.validation, test=self.test, seed=seed)
