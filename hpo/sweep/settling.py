"""What a sweep file leaves open until the data are there: what searches, and the first rung."""

import math
from bisect import bisect_left

from hpo.scheduling import is_auto, is_doubting
from hpo.scheduling.ladder import first_rung
from hpo.spaces.space import Space
from hpo.sweep.choosing import Auto
from hpo.sweep.model import Sweep
from hpo.sweep.own import OwnSweep
from hpo.sweep.rules import kind_variants
from hpo.training.data import Splits
from hpo.training.probe import probe
from hpo.training.program import first_steps
from hpo.training.recipe import Recipe, flatten, with_params

LEAST_STEPS = 200
"""Before that, trials differ in how they began."""
MOST_SHARE = 3
"""Full length over the latest epoch to which these steps can put the first rung off."""
RISES = ("schedule.warmup", "schedule.peak")
"""Shares of training in which the learning rate still rises."""


def settled(sweep: Sweep, splits: Splits) -> tuple[Sweep, tuple[str, ...]]:
    """The sweep with sampler and scheduler chosen, and with a number for `scheduler.min_epochs: auto`; and why.

    Where the sampler is left open, the base recipe is tried for a few steps.
    """
    chosen = sweep.chosen
    if isinstance(sweep.sampler, Auto):
        chosen = sweep.choose(sweep.epochs * probe(sweep.recipe, splits).seconds_per_epoch)
    sweep = sweep.model_copy(update={"sampler": chosen.sampler, "scheduler": chosen.scheduler})
    return with_first_rung(sweep, len(splits.train)), chosen.why


def settled_own(sweep: OwnSweep) -> tuple[OwnSweep, tuple[str, ...]]:
    """The sweep with sampler and scheduler chosen, and why."""
    chosen = sweep.chosen
    return sweep.model_copy(update={"sampler": chosen.sampler, "scheduler": chosen.scheduler}), chosen.why


def with_first_rung(sweep: Sweep, num_train: int) -> Sweep:
    """The sweep with a number for `scheduler.min_epochs: auto`, for so many training examples."""
    scheduler = sweep.chosen.scheduler
    if not is_auto(scheduler):
        return sweep
    changes: dict[str, object] = {"min_epochs": auto_first_rung(sweep.recipe, sweep.space, num_train)}
    if is_doubting(scheduler):
        changes["doubts"] = "always"  # though a number will stand where auto was
    return sweep.model_copy(update={"scheduler": scheduler.model_copy(update=changes)})


def auto_first_rung(recipe: Recipe, space: Space, num_train: int) -> int:
    """A ninth of full length or, if later, an epoch after the longest warm-up or 200 steps of the largest batch.

    Steps put it off to a third at most, for the whole training of small data may have few; it is always before the end.
    """
    epochs = recipe.epochs
    warm = math.ceil(max(_numbers(recipe, space, path, 0.0) for path in RISES) * epochs - 1e-9)
    largest = int(_numbers(recipe, space, "batch_size", recipe.batch_size))
    stepped = bisect_left(first_steps(with_params(recipe, {"batch_size": largest}), num_train), LEAST_STEPS)
    least = max(first_rung("auto", epochs), warm + 1, min(stepped, epochs // MOST_SHARE))
    return max(1, min(least, epochs - 1))


def _numbers(recipe: Recipe, space: Space, path: str, default: float) -> float:
    """The largest that trials may have there, under every kind that is searched."""
    trees = [flatten(variant.as_tree()) for variant in kind_variants(recipe, space, path)]
    values = space[path].ends() if path in space else [tree.get(path, default) for tree in trees]
    return max(float(value) for value in values if isinstance(value, int | float))
