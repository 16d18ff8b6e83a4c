"""prune_trial(): one trial pruned by several amounts, and what each of them costs."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue

from hpo.errors import PruneError
from hpo.export.trial import export_state, last_state
from hpo.folders.origin import origin
from hpo.paths import SweepPaths, written_beside
from hpo.records import TrialRecord
from hpo.sweep import Sweep
from hpo.training.bundles.card import MODEL
from hpo.training.data import Splits
from hpo.training.finetuning import Pruned, data_of, prune
from hpo.training.luck import Luck
from hpo.training.pruning import Mode, check_prunable
from hpo.training.recipe import with_params

CURVE = "curve.csv"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of the curve: how good the network still is, and how large."""

    amount: float
    """The share that was pruned; 0: the trial itself, neither pruned nor fine-tuned."""
    val_accuracy: float
    val_loss: float
    num_nonzero: int
    """Weights of dense layers and convolutions that are not 0."""
    num_parameters: int
    """Of all layers, zeros included."""
    num_bytes: int
    """Of the bundle's model, which stores zeros too."""
    bundle: str
    """The folder that holds this network."""


def prune_trial(
    folder: Path,
    sweep: Sweep,
    paths: SweepPaths,
    splits: Splits,
    trial: TrialRecord,
    *,
    mode: Mode,
    amounts: Sequence[float],
    num_epochs: int,
) -> list[Point]:
    """Prune `trial` by each amount from its last checkpoint, fine-tune, and write a bundle of each and the curve.

    Args:
        folder: new or empty.
        sweep: the trial's.
        paths: the sweep's.
        splits: the sweep's.
        trial: one with a checkpoint.
        mode: whether weights are set to 0, or units removed.
        amounts: shares in [0, 1), each once.
        num_epochs: of fine-tuning.

    Raises:
        PruneError: before anything is trained, if an amount, the folder or the network does not suit.
        BundleError: if the trial has no checkpoint, or the model cannot be exported.
    """
    _check(folder, amounts)
    state = last_state(trial)
    recipe = with_params(sweep.recipe, trial.params)
    check_prunable(recipe.model, recipe.model.build(splits.input_shape, splits.num_classes), mode)
    data = data_of(splits, recipe, use_gpu=sweep.resources.gpus > 0)
    luck = Luck(sweep.seed, trial.seed_index)
    points = []
    for amount in sorted(amounts):
        epochs = num_epochs if amount > 0 else 0
        pruned = prune(recipe, data, luck, state, mode=mode, amount=amount, num_epochs=epochs)
        done: dict[str, JsonValue] = {"mode": mode, "amount": amount, "finetune_epochs": epochs}
        told: dict[str, JsonValue] = {"metrics": {**pruned.metrics}, "pruning": done}
        whence = {**origin(sweep, paths, trial, recipe), **told}
        bundle = export_state(folder / str(amount), pruned.state, trial, pruned.recipe, splits, whence)
        points.append(_point(amount, pruned, bundle))
    _write_curve(folder / CURVE, points)
    return points


def _check(folder: Path, amounts: Sequence[float]) -> None:
    if not amounts:
        raise PruneError("there must be at least one amount, but there is none. Give some, such as 0.5,0.9.")
    for amount in amounts:
        if not 0 <= amount < 1:
            raise PruneError(f"an amount must be a share from 0 and below 1, but got {amount}. Change it.")
        if amounts.count(amount) > 1:
            raise PruneError(f"amounts must differ, but {amount} stands there more than once. Drop one.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise PruneError(f"{folder}: must be new or empty, but holds something. Name another folder.")


def _point(amount: float, pruned: Pruned, bundle: Path) -> Point:
    return Point(
        amount=amount,
        val_accuracy=pruned.metrics["val_accuracy"],
        val_loss=pruned.metrics["val_loss"],
        num_nonzero=pruned.num_nonzero,
        num_parameters=pruned.num_parameters,
        num_bytes=(bundle / MODEL).stat().st_size,
        bundle=str(bundle),
    )


def _write_curve(path: Path, points: Sequence[Point]) -> None:
    rows = [asdict(point) for point in points]
    with written_beside(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
