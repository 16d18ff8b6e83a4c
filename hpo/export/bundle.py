"""Writing bundles; see hpo.training.bundles."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import JsonValue
from torch import nn

from hpo.errors import BundleError
from hpo.export.inference import AS_TRAINED, Inference
from hpo.export.networks import Ensemble, Member, Single
from hpo.export.onnx import check_alone, refuse_without_libraries, write_onnx
from hpo.training.bundles.card import CARD, MODEL, write_card
from hpo.training.bundles.reading import first_line
from hpo.training.data.normalization import Normalization

Format = Literal["pt2", "onnx"]
Formats = tuple[Format, ...]

BATCH_SIZES = (1, 3, 16)
"""With which a file is held against its module."""
MORE = 44
"""One more, for ONNX: its 64 inputs stay in the bundle, with what belongs to them."""
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
    formats: Formats = ("pt2",),
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
        formats: with onnx the bundle also predicts without torch.

    Raises:
        BundleError: if `folder` holds something else, or the module cannot be exported or does not predict the same.
    """
    member = Member(module=module, normalization=normalization, inference=inference)
    return _write(folder, [member], None, input_shape, num_classes, card, formats)


def write_ensemble(
    folder: Path,
    *,
    members: Sequence[Member],
    temperature: float,
    input_shape: tuple[int, ...],
    num_classes: int,
    card: Mapping[str, JsonValue],
    formats: Formats = ("pt2", "onnx"),
) -> Path:
    """Export several networks as one model; see `write_bundle` and `Ensemble`.

    Args:
        folder: new, empty, or a bundle.
        members: with their weights; they may differ in everything but the shape of one example as it came, and C.
        temperature: of the pooled probabilities; 1 leaves them as they are.
        input_shape: of one example as it came.
        num_classes: C.
        card: what else to remember.
        formats: with onnx the bundle also predicts without torch.

    Raises:
        BundleError: see `write_bundle`; or if there are no members, or a weight or the temperature is not above 0.
    """
    return _write(folder, members, temperature, input_shape, num_classes, card, formats)


def _write(
    folder: Path,
    members: Sequence[Member],
    temperature: float | None,
    input_shape: tuple[int, ...],
    num_classes: int,
    card: Mapping[str, JsonValue],
    formats: Formats,
) -> Path:
    """One member without a temperature leaves as a network of its own, not as an ensemble of one."""
    _check_replaceable(folder)
    if "onnx" in formats:
        refuse_without_libraries()
    network = _joined(members, temperature)
    plain = _joined([_unfolded(member) for member in members], temperature)
    x = _inputs(members[0].normalization, input_shape, (*BATCH_SIZES, MORE) if "onnx" in formats else BATCH_SIZES)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        fresh = Path(beside) / "fresh"
        fresh.mkdir()
        program = _export(network, input_shape, fresh / MODEL)
        suspicion = SINGLE_LAYERS if any(member.inference.fold_norms for member in members) else RANDOM
        given = _verified(plain, fresh / MODEL, x, num_classes, suspicion)
        if "onnx" in formats:
            write_onnx(fresh, program, network.outputs, torch.cat(x), given)
        write_card(fresh, input_shape=input_shape, num_classes=num_classes, outputs=network.outputs, origin=card)
        if "onnx" in formats:
            check_alone(fresh)
        _replace(folder, fresh, Path(beside) / "replaced")
    return folder


def _joined(members: Sequence[Member], temperature: float | None) -> Single | Ensemble:
    return Single(members[0]) if temperature is None else Ensemble(members, temperature)


def _unfolded(member: Member) -> Member:
    return replace(member, inference=member.inference.model_copy(update={"fold_norms": False}))


def _inputs(normalization: Normalization, shape: tuple[int, ...], sizes: Sequence[int]) -> list[torch.Tensor]:
    """Batches like those that the model is made for, but no one's examples."""
    mean, std = torch.from_numpy(normalization.mean), torch.from_numpy(normalization.std)
    generator = torch.Generator().manual_seed(0)
    return [mean + std * torch.randn(size, *shape, generator=generator) for size in sizes]


def _export(network: Single | Ensemble, input_shape: tuple[int, ...], path: Path) -> torch.export.ExportedProgram:
    # The first call imports torch's compiler, two seconds; `import torch` alone does not.
    example = torch.zeros(2, *input_shape)
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    except Exception as error:  # whatever a user's module or torch's tracer raises
        raise BundleError(
            f"the module must be exportable by torch.export for any batch size, but: {first_line(error)}. "
            "Mend what branches on the values of a tensor or fixes the batch size."
        ) from error
    # Example inputs are the one thing that torch would pickle.
    program.example_inputs = None
    torch.export.save(program, path)
    return program


def _verified(
    network: Single | Ensemble, path: Path, batches: Sequence[torch.Tensor], num_classes: int, suspicion: str
) -> list[torch.Tensor]:
    """What `network`, its norms in their places, gives for all batches, once it is known that the file gives the same.

    They may differ by 1e-5 of the largest number, or of 1.

    Raises:
        BundleError: if they differ by more; with `suspicion`, what the reason may be.
    """
    reloaded = torch.export.load(path).module()
    given = []
    for x in batches:
        expected, exported = _each(network(x)), _each(reloaded(x))
        if expected[0].shape != (len(x), num_classes):
            raise BundleError(
                f"the module must return logits [{len(x)}, {num_classes}], but returned {list(expected[0].shape)}."
            )
        if not all(each.isfinite().all() for each in expected):
            raise BundleError("the module must give finite log-probabilities, but did not. Has its training diverged?")
        gap = max((ours - theirs).abs().max().item() for ours, theirs in zip(expected, exported, strict=True))
        if not gap <= 1e-5 * max(1.0, expected[0].abs().max().item()):  # true of NaN, too
            raise BundleError(
                f"the exported model must predict as the module does, but differs by {gap:g} at batch {len(x)}. "
                f"{suspicion}"
            )
        given.append(expected)
    return [torch.cat(parts) for parts in zip(*given, strict=True)]


def _each(given: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (given,) if isinstance(given, torch.Tensor) else tuple(given)


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
