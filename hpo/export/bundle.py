"""Bundles: an exported model in a folder of two files, `model.pt2` and `card.json`.

`torch.export.load("model.pt2").module()` maps raw inputs [B, *input_shape] float32 to log-probabilities [B, C]. That
needs torch and nothing of hpo. The archive holds no pickle, but torch's reader would run one, and evaluates
expressions: load only bundles you trust.
"""

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue
from torch import nn

from hpo.errors import BundleError, DataError
from hpo.export.card import CARD, MODEL, Card, read_card, write_card
from hpo.training.data.normalization import Normalization, Whitening, resize

Predict = Callable[[torch.Tensor], torch.Tensor]


def write_bundle(
    folder: Path,
    *,
    module: nn.Module,
    normalization: Normalization,
    input_shape: tuple[int, ...],
    num_classes: int,
    card: Mapping[str, JsonValue],
) -> Path:
    """Export `module` with its normalization, check that the file predicts the same, then put it at `folder`.

    `folder` never holds half a bundle; one that is there already is replaced only by one that passed the check.

    Args:
        folder: new, empty, or a bundle.
        module: from normalised inputs [B, ...] to logits [B, num_classes], for any B; left as it is.
        normalization: applied inside the exported model.
        input_shape: of one example as it came.
        num_classes: C.
        card: what else to remember (trial, params, metrics, ...), beside the fields that every card has.

    Raises:
        BundleError: if `folder` holds something else, or the module cannot be exported or does not predict the same.
    """
    _check_replaceable(folder)
    predictor = _Predictor(module, normalization)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        fresh = Path(beside) / "fresh"
        fresh.mkdir()
        _export(predictor, input_shape, fresh / MODEL)
        _verify(predictor, fresh / MODEL, input_shape, num_classes)
        write_card(fresh, input_shape=input_shape, num_classes=num_classes, origin=card)
        _replace(folder, fresh, Path(beside) / "replaced")
    return folder


def load_bundle(folder: Path) -> "Bundle":
    """The bundle in `folder`, on the CPU.

    Raises:
        BundleError: if it is missing, no bundle, damaged, or of a newer format.
    """
    card = read_card(folder)
    model = folder / MODEL
    try:
        predict = torch.export.load(model).module()
    except Exception as error:  # torch names no common class for what its reader raises
        raise BundleError(
            f"{model}: must be readable by torch.export, but torch {torch.__version__} says: {_first_line(error)}. "
            f"It was written by torch {card.versions.get('torch')}: use that version, or export the trial again."
        ) from error
    return Bundle(card=card, model=predict)


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


class _Predictor(nn.Module):
    """Raw inputs in, log-probabilities out: a copy of a module in eval mode, behind its normalization."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, module: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(normalization.mean))
        self.register_buffer("std", torch.from_numpy(normalization.std))
        self.whitening = nn.Identity() if normalization.whitening is None else _Whiten(normalization.whitening)
        self._size = None if normalization.resizing is None else normalization.resizing.size
        self.module = copy.deepcopy(module).cpu()
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, *input_shape] -> [B, C]."""
        x = x if self._size is None else resize(x, self._size)
        logits: torch.Tensor = self.module(self.whitening((x - self.mean) / self.std))
        return torch.log_softmax(logits, dim=1)


class _Whiten(nn.Module):
    """The affine map of a `Whitening`."""

    centre: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, whitening: Whitening) -> None:
        super().__init__()
        self.register_buffer("centre", torch.from_numpy(whitening.centre))
        self.register_buffer("matrix", torch.from_numpy(whitening.matrix))
        self._shape = whitening.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, *centre.shape] -> [B, *shape]."""
        whitened: torch.Tensor = (x - self.centre).flatten(1) @ self.matrix
        return whitened.reshape(-1, *self._shape)


def _export(predictor: _Predictor, input_shape: tuple[int, ...], path: Path) -> None:
    # The first call imports torch's compiler, two seconds; `import torch` alone does not.
    example = torch.zeros(2, *input_shape)
    try:
        program = torch.export.export(predictor, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    except Exception as error:  # whatever a user's module or torch's tracer raises
        raise BundleError(
            f"the module must be exportable by torch.export for any batch size, but: {_first_line(error)}. "
            "Mend what branches on the values of a tensor or fixes the batch size."
        ) from error
    # Example inputs are the one thing that torch would pickle.
    program.example_inputs = None
    torch.export.save(program, path)


def _verify(predictor: _Predictor, path: Path, input_shape: tuple[int, ...], num_classes: int) -> None:
    """Compare file and module on inputs like those they are made for, at several batch sizes."""
    reloaded = torch.export.load(path).module()
    generator = torch.Generator().manual_seed(0)
    for num_examples in (1, 3, 16):
        x = predictor.mean + predictor.std * torch.randn(num_examples, *input_shape, generator=generator)
        expected = predictor(x)
        if expected.shape != (num_examples, num_classes):
            raise BundleError(
                f"the module must return logits [{num_examples}, {num_classes}], but returned {list(expected.shape)}."
            )
        if not expected.isfinite().all():
            raise BundleError("the module must give finite log-probabilities, but did not. Has its training diverged?")
        gap = (reloaded(x) - expected).abs().max().item()
        if not gap <= 1e-5:  # true of NaN, too
            raise BundleError(
                f"the exported model must predict as the module does, but differs by {gap:g} at batch {num_examples}. "
                "Does the module draw random numbers in eval mode?"
            )


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and ((folder / CARD).is_file() or not any(folder.iterdir()))):
        raise BundleError(f"{folder}: must be new, empty or a bundle, but holds something else. Name another folder.")


def _replace(folder: Path, fresh: Path, aside: Path) -> None:
    replaces = folder.exists()
    if replaces:
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except OSError:
        if replaces:
            aside.rename(folder)
        raise


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
