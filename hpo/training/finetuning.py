"""A trained network, pruned and then trained on a little, by the recipe that it comes from."""

import math
from dataclasses import dataclass

import torch

from hpo.errors import PruneError
from hpo.training.batch_growth import BatchGrowth
from hpo.training.data.splits import Splits
from hpo.training.examples import TrainingData, as_tensors
from hpo.training.luck import Luck
from hpo.training.pruning import Mode, keep_largest, remove_units, weights_of
from hpo.training.recipe import Recipe
from hpo.training.schedules import Constant
from hpo.training.solo import Solo
from hpo.training.state import Tensors, TrialState
from hpo.training.teacher import teacher_log_probs

RATE = 0.1
"""Times the trial's own learning rate, throughout (Han et al. 2015, section 4.1)."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A network after pruning."""

    recipe: Recipe
    """Of a smaller network, where units were removed; else the trial's."""
    state: TrialState
    metrics: dict[str, float]
    """val_loss and val_accuracy."""
    num_nonzero: int
    """Weights of dense layers and convolutions that are not 0."""
    num_parameters: int
    """Of all layers, zeros included."""


def data_of(splits: Splits, recipe: Recipe, *, use_gpu: bool) -> TrainingData:
    """The examples, and what a teacher says of them, on a GPU where one is asked for and there."""
    device = torch.device("cuda" if use_gpu and torch.cuda.is_available() else "cpu")
    teacher = teacher_log_probs(recipe.loss, splits.train.x, splits.normalization)
    return as_tensors(splits.train, splits.validation, splits.num_classes, device, teacher)


def prune(
    recipe: Recipe, data: TrainingData, luck: Luck, state: TrialState, *, mode: Mode, amount: float, num_epochs: int
) -> Pruned:
    """Prune a network that `check_prunable` lets pass, in one go, and train it on for `num_epochs`.

    Args:
        recipe: the trial's.
        data: the trial's.
        luck: the trial's; epochs are counted on.
        state: the trial's last.
        mode: whether weights are held at 0, or units removed.
        amount: the share of them, in [0, 1).
        num_epochs: 0 for none.

    Raises:
        PruneError: if a loss is not finite.
    """
    module = recipe.model.build(data.input_shape, data.num_classes)
    module.load_state_dict(state.module)
    masks: Tensors | None = None
    tensors = state.module
    if mode == "structured":
        recipe, tensors = remove_units(recipe, module, amount)
    else:
        masks = keep_largest(weights_of(module), amount)
    last_epoch = state.epoch + num_epochs
    start = TrialState(epoch=state.epoch, module=tensors, optimizer={})
    program = Solo(_gentle(recipe, last_epoch), data, luck, start, masks)
    with torch.random.fork_rng(devices=[]):
        losses = [program.train_epoch(epoch)[0].train_loss for epoch in range(state.epoch + 1, last_epoch + 1)]
    [metrics] = program.evaluate()
    if not all(map(math.isfinite, (*losses, *metrics.values()))):
        raise PruneError(
            f"every loss of fine-tuning must be finite, but at amount {amount} one was not. "
            "Fine-tune for fewer epochs, or drop the amount."
        )
    return _counted(recipe, data, program.state(0, last_epoch), metrics)


def _gentle(recipe: Recipe, last_epoch: int) -> Recipe:
    """The recipe as it ended, at a small constant rate, without averages: what is pruned is what is exported."""
    changes = {
        "optimizer": recipe.optimizer.model_copy(update={"lr": RATE * recipe.optimizer.lr}),
        "schedule": Constant(),
        "epochs": last_epoch,
        "batch_size": recipe.batch_size_at(recipe.epochs),
        "batch_growth": BatchGrowth(),
        "ema_half_life": 0.0,
        "swa_start": 0.0,
    }
    return recipe.model_copy(update=changes)


def _counted(recipe: Recipe, data: TrainingData, state: TrialState, metrics: dict[str, float]) -> Pruned:
    module = recipe.model.build(data.input_shape, data.num_classes)
    module.load_state_dict(state.module)
    return Pruned(
        recipe=recipe,
        state=state,
        metrics=metrics,
        num_nonzero=sum(int(weight.count_nonzero()) for weight in weights_of(module).values()),
        num_parameters=sum(parameter.numel() for parameter in module.parameters()),
    )
