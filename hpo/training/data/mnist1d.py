"""MNIST-1D, made by the package of that name."""

import importlib
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hpo.errors import DataError
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, Splits, split


class Mnist1d(DataOptions):
    """Rows of 40 numbers: ten shapes, moved, sheared and noisy (Greydanus & Kobak 2024); a fifth is the test split."""

    kind: Literal["mnist1d"] = "mnist1d"
    num_examples: Annotated[int, Field(ge=20)] = 5000
    """Of all splits together; made on the spot, the same every time."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training examples that trials are measured on."""

    def load(self, seed: int) -> Splits:
        """The splits that belong to a sweep's seed.

        Raises:
            DataError: if the package is not installed.
        """
        train, test = _make(self.num_examples)
        return split(train, validation=self.validation, test=test, seed=seed, options=self)


def _make(num_examples: int) -> tuple[Examples, Examples]:
    """With numpy's global generator left as it was: the package seeds it."""
    try:
        package = importlib.import_module("mnist1d.data")
    except ModuleNotFoundError:
        raise DataError("data.kind: mnist1d needs its package, which is not installed. pip install mnist1d.") from None
    arguments = package.get_dataset_args()
    arguments.num_samples = num_examples
    before = np.random.get_state()  # noqa: NPY002 - as the package draws
    made = package.make_dataset(arguments)
    np.random.set_state(before)  # noqa: NPY002
    train, test = (
        Examples(made[f"x{part}"].astype(np.float32), made[f"y{part}"].astype(np.int64)) for part in ("", "_test")
    )
    return train, test
