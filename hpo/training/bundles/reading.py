"""Reading bundles; nothing in one is unpickled, or run as Python."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from hpo.errors import BundleError, DataError
from hpo.training.bundles.card import CARD, MODEL, OF_NETWORK, Card, read_card
from hpo.training.bundles.vetting import vetted

NETWORK: Final = "module."
"""Begins the names of a trial's own tensors in the exported model; the others normalise inputs."""

Predict = Callable[[torch.Tensor], torch.Tensor | Sequence[torch.Tensor]]
Arrays = Mapping[str, npt.NDArray[np.float32]]


def load_bundle(folder: Path) -> "Bundle":
    """The bundle in `folder`, on the CPU.

    Raises:
        BundleError: if it is missing, no bundle, damaged, of a newer format, or has code in it.
    """
    card = read_card(folder)
    return Bundle(folder=folder, card=card, model=_open(folder / MODEL, card).module())


def read_weights(folder: Path) -> Mapping[str, torch.Tensor]:
    """The parameters and buffers of the network in a bundle, by name; not to be changed.

    Read once per process, and again when the file changes.

    Raises:
        BundleError: as `load_bundle`; or if the bundle holds several networks.
    """
    model = folder / MODEL
    return _read_weights(folder, model.stat().st_mtime_ns if model.is_file() else 0)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An exported model, ready to predict."""

    folder: Path
    """Where it lies."""
    card: Card
    """Where the model came from, what it takes and what it gives."""
    model: Predict
    """From raw inputs [B, *input_shape] float32 to log-probabilities [B, C]; of an ensemble, to all its `outputs`."""

    def predict(self, x: npt.NDArray[np.generic], batch_size: int = 1024) -> npt.NDArray[np.float32]:
        """Raw inputs [n, *input_shape] -> log-probabilities [n, C].

        Raises:
            DataError, BundleError: see `outputs`.
        """
        return self.outputs(x, batch_size)["log_probs"]

    def outputs(self, x: npt.NDArray[np.generic], batch_size: int = 1024) -> Arrays:
        """Raw inputs [n, *input_shape] -> log_probs [n, C]; of an ensemble also entropy [n] and disagreement [n].

        Raises:
            DataError: if x has another shape, or is not made of finite numbers.
            BundleError: if the model does not do what its card says.
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
        starts = range(0, max(1, len(inputs)), batch_size)
        parts = [self._outputs(inputs[start : start + batch_size]) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.card.outputs}

    def _outputs(self, inputs: npt.NDArray[np.float32]) -> Arrays:
        """[n, *input_shape] -> by name."""
        try:
            with torch.inference_mode():
                given = self.model(torch.from_numpy(inputs))
        except (RuntimeError, AssertionError) as error:  # of torch's operators, and of the program's own checks
            self._refuse(f"take inputs {list(inputs.shape)}, but: {first_line(error)}", error)
        arrays = [each.numpy() for each in ([given] if isinstance(given, torch.Tensor) else given)]
        if len(arrays) != len(self.card.outputs):
            self._refuse(f"give {', '.join(self.card.outputs)}, but gives {len(arrays)} arrays")
        outputs = dict(zip(self.card.outputs, arrays, strict=True))
        for name, array in outputs.items():
            expected = (len(inputs), self.card.output.num_classes) if name == "log_probs" else (len(inputs),)
            if array.shape != expected:
                what = "log-probabilities" if name == "log_probs" else name
                self._refuse(f"give {what} {list(expected)}, but gives {list(array.shape)}")
        return outputs

    def _refuse(self, rule: str, error: Exception | None = None) -> NoReturn:
        raise BundleError(f"{self.folder}: the model must do as {CARD} says and {rule}. Export it again.") from error


def first_line(error: Exception) -> str:
    """What an error says, without torch's stack traces."""
    return next(iter(str(error).splitlines()), type(error).__name__)


@lru_cache(maxsize=2)
def _read_weights(folder: Path, changed_ns: int) -> Mapping[str, torch.Tensor]:  # noqa: ARG001 - of the cache's key
    card = read_card(folder)
    if card.outputs != OF_NETWORK:
        raise BundleError(
            f"{folder}: must hold one network, but holds an ensemble. Use the bundle of one of its trials."
        )
    named = _open(folder / MODEL, card).state_dict
    return {name.removeprefix(NETWORK): value.detach() for name, value in named.items() if name.startswith(NETWORK)}


def _open(model: Path, card: Card) -> torch.export.ExportedProgram:
    try:
        return torch.export.load(vetted(model))
    except BundleError:
        raise
    except Exception as error:  # torch names no common class for what its reader raises
        raise BundleError(
            f"{model}: must be readable by torch.export, but torch {torch.__version__} says: {first_line(error)}. "
            f"It was written by torch {card.versions.get('torch')}: use that version, or export the trial again."
        ) from error
