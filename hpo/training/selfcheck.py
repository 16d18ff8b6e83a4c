"""Whether a network that we did not write can train as lanes: two steps as lanes and alone must agree."""

import math
from collections.abc import Sequence
from dataclasses import replace

from hpo.training.examples import TrainingData
from hpo.training.lanes import Lanes
from hpo.training.luck import Luck
from hpo.training.program import Program
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo
from hpo.training.state import TrialState

NUM_STEPS = 2
TOLERANCE = 1e-3
"""Of losses, relative: far above float32's noise, far below what another dropout mask makes."""


def why_not_lanes(recipes: Sequence[Recipe], data: TrainingData, states: Sequence[TrialState]) -> str | None:
    """What keeps these trials from training as lanes, in words; none if nothing does.

    Args:
        recipes: two or more of one signature; two are tried.
        data: the sweep's own.
        states: where the trials stand; they are left as they are.
    """
    num_examples = NUM_STEPS * recipes[0].batch_size
    part = replace(data, train_x=data.train_x[:num_examples], train_y=data.train_y[:num_examples])
    luck, pair = Luck(0, 0), list(zip(recipes, states, strict=True))[:2]
    alone = [_outcome(Solo(recipe, part, luck, state))[0] for recipe, state in pair]
    try:
        together = _outcome(Lanes([recipe for recipe, _ in pair], part, luck, [state for _, state in pair]))
    except Exception as error:  # noqa: BLE001 - torch.func has many ways to say no
        return f"torch.func cannot run it ({str(error).strip().splitlines()[0]})"
    for expected, found in zip(alone, together, strict=True):
        if not all(math.isclose(value, found[name], rel_tol=TOLERANCE) for name, value in expected.items()):
            return f"after {NUM_STEPS} steps as a lane it has {found}, but alone {expected}"
    return None


def _outcome(program: Program) -> list[dict[str, float]]:
    """Losses, in training and after it. Weights would be too much: a bias before a norm has only rounding noise."""
    trained = program.train_epoch(1)
    return [
        {"train_loss": end.train_loss, "val_loss": metrics["val_loss"]}
        for end, metrics in zip(trained, program.evaluate(), strict=True)
    ]
