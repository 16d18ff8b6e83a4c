"""Examples, and how they are split, normalised and hashed."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.errors import DataError
from hpo.training.seeds import derive_seed

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Inputs [n, ...] float32 and class indices [n] int64."""

    x: Images
    y: Labels

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """`(x - mean) / std`, fitted on the training split alone; scalars per channel, broadcast over the rest."""

    mean: Images
    std: Images

    def __call__(self, x: Images) -> Images:
        """x [n, channels, ...] -> the same shape."""
        return np.ascontiguousarray((x - self.mean) / self.std, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Training and validation examples, normalised; test examples stay on the driver, as they came."""

    train: Examples
    validation: Examples
    test: Examples | None
    """Not normalised; never sent to a worker."""
    normalization: Normalization
    num_classes: int
    digest: str
    """Of which example went where, and of what was in it: members of different splits must not be mixed."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self.train.x.shape[1:]


def split(examples: Examples, *, validation: float, test: float | Examples, seed: int) -> Splits:
    """Shuffle by `seed`, cut off test and validation, fit the normalization on the rest.

    Args:
        examples: all that may be split.
        validation: share of `examples`.
        test: share of `examples`, or the examples of a test set that comes with the data.
        seed: the sweep's.

    Raises:
        DataError: if inputs and labels do not fit together, are not finite, or too few to split.
    """
    _check(examples)
    order = np.random.default_rng(derive_seed(seed, "split")).permutation(len(examples))
    num_test = round(len(examples) * test) if isinstance(test, float) else 0
    num_validation = round(len(examples) * validation)
    parts = np.split(order, [num_test, num_test + num_validation])
    for name, part in zip(("validation", "training"), parts[1:], strict=True):
        if len(part) == 0:
            raise DataError(f"the {name} split must hold at least one example, but {len(examples)} are too few.")
    held_out, validated, trained = (Examples(examples.x[part], examples.y[part]) for part in parts)
    normalization = _fit(trained.x)
    return Splits(
        train=Examples(normalization(trained.x), trained.y),
        validation=Examples(normalization(validated.x), validated.y),
        test=test if isinstance(test, Examples) else held_out if num_test else None,
        normalization=normalization,
        num_classes=int(examples.y.max()) + 1,
        digest=_digest(order, examples, num_test, num_validation),
    )


def _check(examples: Examples) -> None:
    if len(examples.x) != len(examples.y):
        raise DataError(f"x and y must be equally long, but x has {len(examples.x)} rows and y has {len(examples.y)}.")
    if len(examples) == 0:
        raise DataError("there must be examples, but x has no rows.")
    if not np.isfinite(examples.x).all():
        raise DataError("x must be finite, but holds NaN or infinity. Clean or impute it first.")
    if examples.y.min() < 0:
        raise DataError(f"labels must be class indices from 0, but the least is {examples.y.min()}.")
    if examples.y.max() == 0:
        raise DataError("labels must name at least two classes, but all are 0.")


def _fit(x: Images) -> Normalization:
    """Mean and standard deviation by channel, for images, or by feature, for rows; constant ones get std 1."""
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)[0]
    std = x.std(axis=axes, keepdims=True, dtype=np.float64)[0]
    return Normalization(mean=mean.astype(np.float32), std=np.where(std > 0, std, 1.0).astype(np.float32))


def _digest(order: npt.NDArray[np.int64], examples: Examples, num_test: int, num_validation: int) -> str:
    state = hashlib.blake2b(digest_size=8)
    for array in (order, examples.x, examples.y, np.array([num_test, num_validation])):
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()
