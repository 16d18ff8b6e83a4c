"""From a finished trial to a bundle."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from hpo.errors import BundleError
from hpo.export.bundle import write_bundle
from hpo.records import TrialRecord
from hpo.training.checkpoint import read_checkpoint
from hpo.training.data.splits import Splits
from hpo.training.recipe import Recipe


def export_trial(
    folder: Path, trial: TrialRecord, recipe: Recipe, splits: Splits, origin: Mapping[str, JsonValue]
) -> Path:
    """Write the model of `trial`, as it stood at its last checkpoint, as a bundle.

    Args:
        folder: new, empty, or a bundle to replace.
        trial: one with a checkpoint.
        recipe: the trial's own.
        splits: what it was trained on.
        origin: where the trial comes from: sweep, MLflow run.

    Raises:
        BundleError: if the trial has no checkpoint, or the model cannot be exported.
    """
    if trial.checkpoint is None:
        raise BundleError(
            f"trial {trial.trial_id} must have a checkpoint, but it ended before its first. Export another trial."
        )
    state = read_checkpoint(Path(trial.checkpoint))
    module = recipe.model.build(splits.input_shape, splits.num_classes)
    module.load_state_dict(state.module)
    metrics: dict[str, JsonValue] = dict(trial.end.metrics) if trial.end is not None else {}
    params: dict[str, JsonValue] = {
        path: list(value) if isinstance(value, tuple) else value for path, value in trial.params.items()
    }
    return write_bundle(
        folder,
        module=module,
        normalization=splits.normalization,
        input_shape=splits.raw_shape,
        num_classes=splits.num_classes,
        card={
            **origin,
            "trial": trial.trial_id,
            "epoch": state.epoch,
            "params": params,
            "recipe": recipe.as_tree(),
            "metrics": metrics,
            "data_digest": splits.digest,
        },
    )
