"""Preparing inputs: sizes and affine maps, fitted on the training split and exported inside the model."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from hpo.errors import DataError
from hpo.training.data.options import DataOptions

Inputs = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Whitening:
    """`(x - centre) @ matrix` of flattened inputs: components without correlation, of variance 1."""

    centre: Inputs
    """Of the shape of one example."""
    matrix: Inputs
    """[features, components]."""
    shape: tuple[int, ...]
    """Of one example afterwards."""

    def __call__(self, x: Inputs) -> Inputs:
        """x [n, *centre.shape] -> [n, *shape]."""
        whitened = (x - self.centre).reshape(len(x), -1) @ self.matrix
        return np.ascontiguousarray(whitened.reshape(len(x), *self.shape), dtype=np.float32)

    def undone(self, x: Inputs) -> Inputs:
        """x [n, *shape] -> [n, *centre.shape], as it was before.

        Raises:
            DataError: if components were left out.
        """
        num_features, num_components = self.matrix.shape
        if num_components < num_features:
            raise DataError(
                f"inputs as they came cannot be had back from {num_components} of {num_features} components. "
                "Set data.pca_dim: 0, or data.whiten: none."
            )
        flat = np.linalg.solve(self.matrix.T.astype(np.float64), x.reshape(len(x), -1).T.astype(np.float64)).T
        return (flat.reshape(len(x), *self.centre.shape) + self.centre).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """Bilinear interpolation of images, smoothed where they shrink."""

    raw_shape: tuple[int, ...]
    """Of one image as it came [channels, height, width]."""
    size: int
    """Height and width afterwards."""

    def __call__(self, x: Inputs) -> Inputs:
        """x [n, *raw_shape] -> [n, channels, size, size]."""
        return resize(torch.from_numpy(np.ascontiguousarray(x)), self.size).numpy()


def resize(x: torch.Tensor, size: int) -> torch.Tensor:
    """[n, channels, height, width] -> [n, channels, size, size]; pixels are areas, as Pillow has it."""
    return functional.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """`(x - mean) / std`, scalars per channel, broadcast over the rest; between a resizing and a whitening, if any."""

    mean: Inputs
    """Or whatever else is subtracted."""
    std: Inputs
    """Or whatever else it is divided by."""
    whitening: Whitening | None = None
    resizing: Resizing | None = None

    def raw_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of one example as it came, by what becomes of it."""
        if self.resizing is not None:
            return self.resizing.raw_shape
        return input_shape if self.whitening is None else self.whitening.centre.shape

    def __call__(self, x: Inputs) -> Inputs:
        """x [n, channels, ...] -> the same shape, unless resizing or whitening gives another."""
        x = x if self.resizing is None else self.resizing(x)
        scaled = np.ascontiguousarray((x - self.mean) / self.std, dtype=np.float32)
        return scaled if self.whitening is None else self.whitening(scaled)

    def undone(self, x: Inputs) -> Inputs:
        """What this made [n, ...] -> what it was made of, to float32's precision.

        Raises:
            DataError: if whitening left components out, or images were resized.
        """
        if self.resizing is not None:
            raise DataError("images as they came cannot be had back after resizing. Drop data.image_size.")
        scaled = x if self.whitening is None else self.whitening.undone(x)
        return np.ascontiguousarray(scaled * self.std + self.mean, dtype=np.float32)


def fit(x: Inputs, options: DataOptions) -> Normalization:
    """What `options` ask for, by the examples x [n, ...].

    Raises:
        DataError: if more components are asked for than there are, or what cannot be resized shall be.
    """
    resizing = _resizing(x.shape[1:], options.image_size)
    x = x if resizing is None else resizing(x)
    mean, std = _fit_scale(x, options)
    scale = Normalization(mean=mean.astype(np.float32), std=np.where(std > 0, std, 1.0).astype(np.float32))
    whitening = None if options.whiten == "none" else _fit_whitening(scale(x), options)
    return replace(scale, whitening=whitening, resizing=resizing)


def _resizing(raw_shape: tuple[int, ...], size: int) -> Resizing | None:
    if size == 0:
        return None
    if len(raw_shape) != 3:
        raise DataError(
            f"data.image_size needs images [channels, height, width], but the data have shape {list(raw_shape)}. "
            "Drop it."
        )
    if raw_shape[1:] == (size, size):
        raise DataError(f"data.image_size has no effect, because images are {size} x {size} already. Drop it.")
    return Resizing(raw_shape=raw_shape, size=size)


def _fit_scale(x: Inputs, options: DataOptions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What to subtract and what to divide by, by channel, for images, or by feature, for rows."""
    axes = (0, *range(2, x.ndim))
    match options.input_norm:
        case "standardize":
            mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)[0]
            return mean, x.std(axis=axes, keepdims=True, dtype=np.float64)[0]
        case "minmax":
            least = x.min(axis=axes, keepdims=True)[0].astype(np.float64)
            return least, x.max(axis=axes, keepdims=True)[0] - least
        case "none":
            shape = x.min(axis=axes, keepdims=True)[0].shape
            return np.zeros(shape), np.ones(shape)


def _fit_whitening(x: Inputs, options: DataOptions) -> Whitening:
    """By the eigenvectors of the covariance, largest variance first, each with its largest entry positive."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    num_features = flat.shape[1]
    if options.pca_dim > num_features:
        raise DataError(
            f"data.pca_dim must be at most the {num_features} features, but is {options.pca_dim}. Lower it."
        )
    centre = flat.mean(0)
    flat -= centre
    variances, vectors = np.linalg.eigh(flat.T @ flat / max(1, len(flat) - 1))
    variances, vectors = variances[::-1].clip(min=0), vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(num_features)])
    matrix = vectors / np.sqrt(variances + options.whiten_eps)
    if options.whiten == "zca":
        matrix, shape = matrix @ vectors.T, x.shape[1:]
    else:
        matrix = matrix[:, : options.pca_dim or num_features]
        shape = (matrix.shape[1],)
    return Whitening(
        centre=centre.reshape(x.shape[1:]).astype(np.float32),
        matrix=np.ascontiguousarray(matrix, dtype=np.float32),
        shape=shape,
    )
