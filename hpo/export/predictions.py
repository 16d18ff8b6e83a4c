"""What a bundle says about a file of examples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hpo.errors import BundleError, DataError
from hpo.training.bundles import Bundle
from hpo.training.data.npz import read_npz


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Log-probabilities of every example, and how good they are where the labels are known."""

    log_probs: npt.NDArray[np.float32]
    """[n, C]."""
    labels: npt.NDArray[np.int64] | None = None
    """Class indices [n]."""
    doubts: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Of an ensemble, in nats: `entropy` [n] of what it says, and `disagreement` [n] of its members."""

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """The likeliest class of each example [n]."""
        classes: npt.NDArray[np.int64] = self.log_probs.argmax(axis=1)
        return classes

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """Of the likeliest class of each example [n]."""
        probabilities: npt.NDArray[np.float32] = np.exp(self.log_probs.max(axis=1))
        return probabilities

    @property
    def accuracy(self) -> float | None:
        """Share of examples whose likeliest class is the label; none without labels."""
        return None if self.labels is None else float((self.classes == self.labels).mean())

    @property
    def nll(self) -> float | None:
        """Mean negative log-likelihood of the labels, in nats; none without labels."""
        if self.labels is None:
            return None
        of_labels = np.take_along_axis(self.log_probs, self.labels[:, None], axis=1)
        return -float(of_labels.mean(dtype=np.float64))


def predict_file(bundle: Bundle, path: Path) -> Predictions:
    """Predict the examples `x` [n, *input_shape] of a .npz archive; with `y` [n] there, measure them too.

    Raises:
        DataError: if the archive cannot be read, has no `x`, or does not fit the bundle.
        BundleError: if the model does not do what its card says, or gives NaN.
    """
    arrays = read_npz(path)
    if "x" not in arrays:
        raise DataError(f"{path}: an array `x` must be there, but it holds {sorted(arrays)}.")
    if arrays["x"].size == 0:
        raise DataError(f"{path}: x must hold examples, but has shape {list(arrays['x'].shape)}.")
    try:
        outputs = dict(bundle.outputs(arrays["x"]))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    log_probs = outputs.pop("log_probs")
    if np.isnan(log_probs).any():
        raise BundleError(f"{bundle.folder}: the model must give numbers, but gives NaN for {path}. Use another.")
    labels = _check_labels(path, arrays["y"], *log_probs.shape) if "y" in arrays else None
    return Predictions(log_probs=log_probs, labels=labels, doubts=outputs)


def _check_labels(
    path: Path, labels: npt.NDArray[np.generic], num_examples: int, num_classes: int
) -> npt.NDArray[np.int64]:
    if labels.shape != (num_examples,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: y must be class indices [{num_examples}], but is {labels.dtype} of shape {list(labels.shape)}."
        )
    indices = labels.astype(np.int64)
    if indices.min() < 0 or indices.max() >= num_classes:
        raise DataError(
            f"{path}: y must lie in 0 to {num_classes - 1}, the model's classes, "
            f"but runs from {indices.min()} to {indices.max()}."
        )
    return indices
