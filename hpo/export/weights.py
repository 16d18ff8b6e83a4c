"""Which weights of a trial leave: those of its last step, or the average that was kept of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import JsonValue

from hpo.errors import NoAverageError
from hpo.training.program import keeps_average, num_averaged
from hpo.training.recipe import Recipe
from hpo.training.state import TrialState

Weights = Literal["raw", "averaged"]


def averaged(state: TrialState, recipe: Recipe, trial_id: int) -> TrialState:
    """The state with the averages in place of weights and buffers, statistics of norms among them.

    Raises:
        NoAverageError: if the trial keeps no average, or its average has not begun.
    """
    remedy = "Export its raw weights (--weights raw), or another trial."
    if not keeps_average(recipe):
        raise NoAverageError(
            f"trial {trial_id} must keep an average of weights for it to be exported, but its ema_half_life and "
            f"swa_start are 0. {remedy}"
        )
    if recipe.swa_start > 0 and num_averaged(recipe, state.epoch) == 0:
        raise NoAverageError(
            f"trial {trial_id} must come to the epochs whose weights are averaged, after a share of "
            f"{recipe.swa_start:g} of {recipe.epochs} (swa_start), but its state is that of epoch {state.epoch}. "
            f"{remedy}"
        )
    return replace(state, module=state.averaged)


def told(recipe: Recipe, epoch: int, metrics: Mapping[str, float]) -> dict[str, JsonValue]:
    """What a card says of averaged weights: how they came about, and what of a trial's `metrics` they measured."""
    if recipe.swa_start > 0:
        num_epochs = num_averaged(recipe, epoch)
        average: dict[str, JsonValue] = {"kind": "swa", "swa_start": recipe.swa_start, "num_epochs": num_epochs}
    else:
        average = {"kind": "ema", "ema_half_life": recipe.ema_half_life}
    own = {name: value for name, value in metrics.items() if name.startswith(f"{average['kind']}_")}
    return {"weights": "averaged", "average": average, "metrics": {**own}}
