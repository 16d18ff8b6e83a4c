"""Reading bundles; nothing in one is unpickled."""

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from hpo.errors import BundleError, DataError
from hpo.training.bundles.card import MODEL, Card, read_card

NETWORK: Final = "module."
"""Begins the names of a trial's own tensors in the exported model; the others normalise inputs."""

Predict = Callable[[torch.Tensor], torch.Tensor]

_PAYLOAD = r"data/(weights/weight_\d+|constants/tensor_\d+|(weights|constants)/\w+_config\.json)"
_PLAIN = re.compile(rf"[^/]+/({_PAYLOAD}|models/\w+\.json|archive_format|archive_version|byteorder|\.data/\w+)")
"""Entries of an archive that are numbers or text."""


def load_bundle(folder: Path) -> "Bundle":
    """The bundle in `folder`, on the CPU.

    Raises:
        BundleError: if it is missing, no bundle, damaged, of a newer format, or has a pickle in it.
    """
    card = read_card(folder)
    return Bundle(card=card, model=_open(folder / MODEL, card).module())


def read_weights(folder: Path) -> Mapping[str, torch.Tensor]:
    """The parameters and buffers of the network in a bundle, by name; not to be changed.

    Read once per process, and again when the file changes.

    Raises:
        BundleError: as `load_bundle`.
    """
    model = folder / MODEL
    return _read_weights(folder, model.stat().st_mtime_ns if model.is_file() else 0)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An exported model, ready to predict."""

    card: Card
    """Where the model came from, what it takes and what it gives."""
    model: Predict
    """From raw inputs [B, *input_shape] float32 to log-probabilities [B, C]."""

    def predict(self, x: npt.NDArray[np.generic], batch_size: int = 1024) -> npt.NDArray[np.float32]:
        """Raw inputs [n, *input_shape] -> log-probabilities [n, C].

        Raises:
            DataError: if x has another shape, or is not made of finite numbers.
        """
        shape = self.card.input.shape
        if x.ndim == 0 or x.shape[1:] != shape or x.dtype.kind not in "fiub":
            raise DataError(
                f"x must be numbers [n, {', '.join(map(str, shape))}], as in training, "
                f"but is {x.dtype} of shape {list(x.shape)}."
            )
        inputs = x.astype(np.float32)
        if not np.isfinite(inputs).all():
            raise DataError("x must be finite in float32, but holds NaN or infinity. Clean or impute it first.")
        log_probs = np.empty((len(inputs), self.card.output.num_classes), np.float32)
        with torch.inference_mode():
            for start in range(0, len(inputs), batch_size):
                part = slice(start, start + batch_size)
                log_probs[part] = self.model(torch.from_numpy(inputs[part])).numpy()
        return log_probs


def first_line(error: Exception) -> str:
    """What an error says, without torch's stack traces."""
    return next(iter(str(error).splitlines()), type(error).__name__)


@lru_cache(maxsize=2)
def _read_weights(folder: Path, changed_ns: int) -> Mapping[str, torch.Tensor]:  # noqa: ARG001 - of the cache's key
    named = _open(folder / MODEL, read_card(folder)).state_dict
    return {name.removeprefix(NETWORK): value.detach() for name, value in named.items() if name.startswith(NETWORK)}


def _open(model: Path, card: Card) -> torch.export.ExportedProgram:
    try:
        pickles = _pickles(model)
        program = None if pickles else torch.export.load(model)
    except Exception as error:  # torch names no common class for what its reader raises
        raise BundleError(
            f"{model}: must be readable by torch.export, but torch {torch.__version__} says: {first_line(error)}. "
            f"It was written by torch {card.versions.get('torch')}: use that version, or export the trial again."
        ) from error
    if program is None:
        raise BundleError(
            f"{model}: must hold nothing but numbers and text, for pickles run code, but holds {', '.join(pickles)}. "
            "Export the trial again."
        )
    return program


def _pickles(model: Path) -> list[str]:
    """Entries that torch's reader would unpickle, or whose use is not known."""
    with zipfile.ZipFile(model) as archive:
        entries = [entry.filename for entry in archive.infolist() if entry.file_size > 0]
        configs = [json.loads(archive.read(name))["config"] for name in entries if name.endswith("_config.json")]
    pickled = [name for config in configs for name, payload in config.items() if payload["use_pickle"]]
    return [*pickled, *(name for name in entries if not _PLAIN.fullmatch(name))]
