"""Writing bundles; see hpo.training.bundles."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import nn

from hpo.errors import BundleError
from hpo.export.inference import Inference
from hpo.training.bundles.card import CARD, MODEL, write_card
from hpo.training.bundles.reading import first_line
from hpo.training.data.normalization import Normalization, Whitening, resize

AS_TRAINED = Inference()
RANDOM = "Does the module draw random numbers in eval mode?"
SINGLE_LAYERS = "Does it use the layers of an nn.Sequential one by one? Export it without fold_norms."


def write_bundle(
    folder: Path,
    *,
    module: nn.Module,
    normalization: Normalization,
    input_shape: tuple[int, ...],
    num_classes: int,
    card: Mapping[str, JsonValue],
    inference: Inference = AS_TRAINED,
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
        inference: how the exported model predicts.

    Raises:
        BundleError: if `folder` holds something else, or the module cannot be exported or does not predict the same.
    """
    _check_replaceable(folder)
    predictor = _Predictor(module, normalization, inference)
    unfolded = _Predictor(module, normalization, inference.model_copy(update={"fold_norms": False}))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        fresh = Path(beside) / "fresh"
        fresh.mkdir()
        _export(predictor, input_shape, fresh / MODEL)
        suspicion = SINGLE_LAYERS if inference.fold_norms else RANDOM
        _verify(unfolded, fresh / MODEL, input_shape, num_classes, suspicion)
        write_card(fresh, input_shape=input_shape, num_classes=num_classes, origin=card)
        _replace(folder, fresh, Path(beside) / "replaced")
    return folder


class _Predictor(nn.Module):
    """Raw inputs in, log-probabilities out: a module, prepared for inference, behind its normalization."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, module: nn.Module, normalization: Normalization, inference: Inference) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(normalization.mean))
        self.register_buffer("std", torch.from_numpy(normalization.std))
        self.whitening = nn.Identity() if normalization.whitening is None else _Whiten(normalization.whitening)
        self._size = None if normalization.resizing is None else normalization.resizing.size
        self.module = inference.prepare(module)
        self._inference = inference
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, *input_shape] -> [B, C]."""
        x = x if self._size is None else resize(x, self._size)
        return self._inference.log_probs(self.module, self.whitening((x - self.mean) / self.std))


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
            f"the module must be exportable by torch.export for any batch size, but: {first_line(error)}. "
            "Mend what branches on the values of a tensor or fixes the batch size."
        ) from error
    # Example inputs are the one thing that torch would pickle.
    program.example_inputs = None
    torch.export.save(program, path)


def _verify(predictor: _Predictor, path: Path, input_shape: tuple[int, ...], num_classes: int, suspicion: str) -> None:
    """Compare file and module, its norms in their places, on inputs like those they are made for, in several batches.

    They may differ by 1e-5 of the largest number, or of 1.

    Raises:
        BundleError: if they differ by more; with `suspicion`, what the reason may be.
    """
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
        if not gap <= 1e-5 * max(1.0, expected.abs().max().item()):  # true of NaN, too
            raise BundleError(
                f"the exported model must predict as the module does, but differs by {gap:g} at batch {num_examples}. "
                f"{suspicion}"
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
