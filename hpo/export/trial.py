"""From a finished trial to a bundle."""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import nn

from hpo.errors import BundleError
from hpo.export.bundle import Formats, write_bundle
from hpo.export.folding import num_norms
from hpo.export.inference import AS_TRAINED, Inference
from hpo.export.weights import Weights, averaged, told
from hpo.files import size_of
from hpo.records import TrialRecord
from hpo.training.bundles.card import portable_tree
from hpo.training.checkpoint import read_checkpoint
from hpo.training.data.splits import Splits
from hpo.training.evaluate import evaluate
from hpo.training.recipe import Recipe
from hpo.training.state import TrialState

NUM_AT_ONCE = 256
"""Examples whose views are measured together."""


def export_trial(
    folder: Path,
    trial: TrialRecord,
    recipe: Recipe,
    splits: Splits,
    origin: Mapping[str, JsonValue],
    inference: Inference = AS_TRAINED,
    weights: Weights = "raw",
    formats: Formats = ("pt2",),
) -> Path:
    """Write the model of `trial`, as it stood at its last checkpoint, as a bundle; see `export_state`.

    Raises:
        NoAverageError: if averaged `weights` are asked for, and the trial has none.
        BundleError: if the trial has no checkpoint, or the model cannot be exported.
    """
    state = last_state(trial)
    if weights == "averaged":
        state = averaged(state, recipe, trial.trial_id)
        metrics = trial.end.metrics if trial.end is not None else {}
        origin = {**origin, **told(recipe, state.epoch, metrics)}
    return export_state(folder, state, trial, recipe, splits, origin, inference, formats)


def last_state(trial: TrialRecord) -> TrialState:
    """What a trial left at its last checkpoint.

    Raises:
        BundleError: if it has none, or has it no more.
    """
    if trial.checkpoint is None:
        raise BundleError(
            f"trial {trial.trial_id} must have a checkpoint, but it ended before its first. Export another trial."
        )
    if size_of(trial.checkpoint) is None:
        raise BundleError(
            f"trial {trial.trial_id} must have its state, but {trial.checkpoint} is gone: dropped to keep within "
            "storage.keep, or by hand. Export another trial, such as the best, whose state is always kept; or set "
            "this one's params as the only one of `points`, and train it again."
        )
    return read_checkpoint(trial.checkpoint)


def export_state(
    folder: Path,
    state: TrialState,
    trial: TrialRecord,
    recipe: Recipe,
    splits: Splits,
    origin: Mapping[str, JsonValue],
    inference: Inference = AS_TRAINED,
    formats: Formats = ("pt2",),
) -> Path:
    """Write a network as a bundle whose card says where it came from and, if it is changed for it, what that changes.

    Args:
        folder: new, empty, or a bundle to replace.
        state: of the network.
        trial: from which it came.
        recipe: whose model the state is of.
        splits: what it was trained on.
        origin: where the trial comes from: sweep, MLflow run; and what else the card should hold, or hold instead.
        inference: how the exported model predicts.
        formats: files of the bundle.

    Raises:
        BundleError: if the data do not suit `inference`, or the model cannot be exported.
    """
    inference.refuse_misfits(splits.input_shape)
    module = recipe.model.build(splits.input_shape, splits.num_classes)
    try:
        module.load_state_dict(state.module)
    except RuntimeError as error:
        raise BundleError(
            f"trial {trial.trial_id}: its checkpoint must be of the network that the sweep's file describes, but: "
            f"{' '.join(str(error).split())} Restore the file."
        ) from error
    card = {**_story(trial, state, recipe), "data_digest": splits.digest, **origin}
    if inference != AS_TRAINED:
        card["inference"] = _described(inference, module, splits)
    return write_bundle(
        folder,
        module=module,
        normalization=splits.normalization,
        input_shape=splits.raw_shape,
        num_classes=splits.num_classes,
        card=card,
        inference=inference,
        formats=formats,
    )


def _story(trial: TrialRecord, state: TrialState, recipe: Recipe) -> dict[str, JsonValue]:
    """Which trial it was, how it was trained, and what it measured."""
    params: dict[str, JsonValue] = {
        path: list(value) if isinstance(value, tuple) else value for path, value in trial.params.items()
    }
    return {
        "trial": trial.trial_id,
        "epoch": state.epoch,
        "params": params,
        "recipe": portable_tree(recipe),
        "weights": "raw",
        "metrics": dict(trial.end.metrics) if trial.end is not None else {},
    }


def _described(inference: Inference, module: nn.Module, splits: Splits) -> dict[str, JsonValue]:
    """What is done to the network, and how it does on the validation split with that and without."""
    ready = inference.prepare(module)
    without = AS_TRAINED.prepare(module)
    return {
        "tta": inference.tta,
        "fold_norms": inference.fold_norms,
        "num_norms": num_norms(without),
        "num_folded_norms": num_norms(without) - num_norms(ready),
        **_measured(inference, ready, splits),
        "without": {**_measured(AS_TRAINED, without, splits)},
    }


def _measured(inference: Inference, network: nn.Module, splits: Splits) -> dict[str, float]:
    """val_loss and val_accuracy."""
    x, y = torch.from_numpy(splits.validation.x), torch.from_numpy(splits.validation.y)

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        parts = [inference.log_probs(network, part) for part in inputs.split(NUM_AT_ONCE)]
        return torch.cat(parts).unsqueeze(0)

    return evaluate(forward, x, y)[0]
