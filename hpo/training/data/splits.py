"""Examples, and how they are split and hashed."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.errors import DataError
from hpo.training.data.batches import Numbers, spread_classes
from hpo.training.data.normalization import Inputs, Normalization, fit
from hpo.training.data.options import DataOptions
from hpo.training.seeds import derive_seed

Labels = npt.NDArray[np.int64]

MOST_CLASSES = 100_000
"""More are a mistake, such as numbers of customers for labels; a network of so many outputs may fill the memory."""


@dataclass(frozen=True)
class Examples:
    """Inputs [n, ...] float32 and class indices [n] int64."""

    x: Inputs
    y: Labels

    def __len__(self) -> int:
        return len(self.y)


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
    """Of which example went where, what was in it, and how it was prepared: members of different data never mix."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example, normalised: what a network takes."""
        return self.train.x.shape[1:]

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Of one example as it came: what an exported model takes."""
        return self.normalization.raw_shape(self.input_shape)


def split(
    examples: Examples, *, validation: float, test: float | Examples, seed: int, options: DataOptions | None = None
) -> Splits:
    """Shuffle by `seed`, cut off test and validation, fit the normalization on the rest.

    Args:
        examples: all that may be split.
        validation: share of `examples`.
        test: share of `examples`, or the examples of a test set that comes with the data.
        seed: the sweep's.
        options: how; by default, as `DataOptions()`.

    Raises:
        DataError: if inputs and labels do not fit together, are not finite, or too few to split.
    """
    options = options or DataOptions()
    _check(examples)
    if examples.y.max() == 0:
        raise DataError("labels must name at least two classes, but all are 0.")
    own_test = test if isinstance(test, Examples) else None
    if own_test is not None:
        _check_test(own_test, examples)
    order = np.random.default_rng(derive_seed(seed, "split")).permutation(len(examples))
    order = spread_classes(order, examples.y) if options.stratify else order
    num_test = 0 if isinstance(test, Examples) else round(len(examples) * test)
    held_out, validated, trained = _cut(examples, order, num_test, round(len(examples) * validation), options.fraction)
    normalization = fit(trained.x, options)
    return Splits(
        train=Examples(normalization(trained.x), _labels(trained.y, options, seed)),
        validation=Examples(normalization(validated.x), validated.y),
        test=held_out if own_test is None and num_test else own_test,
        normalization=normalization,
        num_classes=int(max(part.y.max() for part in (examples, own_test) if part is not None)) + 1,
        digest=_digest(order, examples, own_test, num_test, len(validated), options),
    )


def _labels(y: Labels, options: DataOptions, seed: int) -> Labels:
    return np.random.default_rng(derive_seed(seed, "labels")).permutation(y) if options.shuffle_labels else y


def _check(examples: Examples, where: str = "") -> None:
    x, y = examples.x, examples.y
    if len(x) != len(y):
        raise DataError(f"{where}x and y must be equally long, but x has {len(x)} rows and y has {len(y)}.")
    if len(examples) == 0:
        raise DataError(f"{where}there must be examples, but x has no rows.")
    if not np.isfinite(x).all():
        raise DataError(f"{where}x must be finite, but holds NaN or infinity. Clean or impute it first.")
    if y.min() < 0:
        raise DataError(f"{where}labels must be class indices from 0, but the least is {y.min()}.")
    if y.max() >= MOST_CLASSES:
        raise DataError(f"{where}labels must be class indices below {MOST_CLASSES}, but the largest is {y.max()}.")


def _check_test(test: Examples, examples: Examples) -> None:
    _check(test, "test set: ")
    if test.x.shape[1:] != examples.x.shape[1:]:
        ours, theirs = list(examples.x.shape[1:]), list(test.x.shape[1:])
        raise DataError(f"test set: inputs must have the shape of the others, {ours}, but have {theirs}.")


def _cut(
    examples: Examples, order: Numbers, num_test: int, num_validation: int, fraction: float
) -> tuple[Examples, Examples, Examples]:
    """Test, validation and training examples; a smaller fraction of the last is part of every larger one."""
    test, validation, train = np.split(order, [num_test, num_test + num_validation])
    train = train[: round(len(train) * fraction)]
    for name, part in (("validation", validation), ("training", train)):
        if len(part) == 0:
            raise DataError(f"the {name} split must hold at least one example, but {len(examples)} are too few.")
    held_out, validated, trained = (Examples(examples.x[part], examples.y[part]) for part in (test, validation, train))
    return held_out, validated, trained


def _digest(
    order: Numbers,
    examples: Examples,
    own_test: Examples | None,
    num_test: int,
    num_validation: int,
    options: DataOptions,
) -> str:
    """Preparation counts by what is asked for, which with these examples says all; its rounding differs by machine."""
    arrays = [order, examples.x, examples.y, np.array([num_test, num_validation])]
    if own_test is not None:
        arrays += [own_test.x, own_test.y]
    state = hashlib.blake2b(digest_size=8)
    for array in arrays:
        state.update(np.ascontiguousarray(array).data)
    for name, field in DataOptions.model_fields.items():
        if name != "kind" and (asked := getattr(options, name)) != field.default:
            state.update(f"{name}={asked}".encode())
    return state.hexdigest()
