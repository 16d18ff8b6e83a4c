"""Folders of image files."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hpo.errors import DataError
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, Splits, split

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


class Images(DataOptions):
    """A folder with one folder of PNG or JPEG files for each class; classes are numbered by name."""

    kind: Literal["images"] = "images"
    folder: Annotated[Path, Field(strict=False)]
    """Holds a folder for each class."""
    test_folder: Annotated[Path, Field(strict=False)] | None = None
    """A folder like it, with the same classes: the test split."""
    size: Annotated[int, Field(ge=0)] = 0
    """Height and width that every image is resized to; 0: as they are, all of one size."""
    grey: bool = False
    """Whether images are [1, height, width], instead of red, green and blue."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the images in `folder` that trials are measured on."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the images in `folder` kept from every trial, unless there is a `test_folder`."""

    def load(self, seed: int) -> Splits:
        """The splits that belong to a sweep's seed.

        Raises:
            DataError: if Pillow is not installed, a folder holds no classes, or a file is no image of the right size.
        """
        classes = _class_names(self.folder)
        examples = self._read(self.folder, classes)
        test: float | Examples = self.test
        if self.test_folder is not None:
            if _class_names(self.test_folder) != classes:
                theirs = _class_names(self.test_folder)
                raise DataError(f"{self.test_folder}: must hold the classes {classes}, but holds {theirs}.")
            test = self._read(self.test_folder, classes)
        return split(examples, validation=self.validation, test=test, seed=seed, options=self)

    def _read(self, folder: Path, classes: list[str]) -> Examples:
        pillow = _import_pillow()
        paths = [(path, number) for number, name in enumerate(classes) for path in _image_paths(folder / name)]
        images = [self._read_image(path, pillow) for path, _ in paths]
        for (path, _), image in zip(paths, images, strict=True):
            if image.shape != images[0].shape:
                ours, first = list(image.shape[1:]), list(images[0].shape[1:])
                raise DataError(f"{path}: must be {first} pixels, as the first image, but is {ours}. Set data.size.")
        return Examples(np.stack(images), np.array([number for _, number in paths], np.int64))

    def _read_image(self, path: Path, pillow: ModuleType) -> npt.NDArray[np.float32]:
        """[channels, height, width] in [0, 1]."""
        try:
            with pillow.open(path) as image:
                pixels = image.convert("L" if self.grey else "RGB")
                if self.size > 0:
                    pixels = pixels.resize((self.size, self.size), pillow.Resampling.BILINEAR)
                array = np.asarray(pixels, np.float32) / np.float32(255)
        except (OSError, pillow.DecompressionBombError) as error:
            raise DataError(f"{path}: must be a PNG or JPEG image, but {error}. Mend it or take it out.") from error
        return array[None] if self.grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def _class_names(folder: Path) -> list[str]:
    """Names of the folders within, in order.

    Raises:
        DataError: if there are fewer than two.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Paths in a sweep file are relative to the file.")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"{folder}: must hold a folder for each of two or more classes, but holds {names}.")
    return names


def _image_paths(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: must hold .png, .jpg or .jpeg files, but there are none.")
    return paths


def _import_pillow() -> ModuleType:
    try:
        return importlib.import_module("PIL.Image")
    except ModuleNotFoundError:
        raise DataError("data.kind: images needs Pillow, which is not installed. pip install pillow.") from None
