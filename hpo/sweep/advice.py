"""Advice: what a sweep may do, and had better not."""

from collections.abc import Iterator

from hpo.scheduling import Pbt
from hpo.spaces.space import Space
from hpo.spaces.values import shown
from hpo.sweep.dependence import most_at_once
from hpo.sweep.loading import AnySweep
from hpo.sweep.own import OwnSweep
from hpo.sweep.rules import kind_variants
from hpo.training.models import Cnn, Mlp
from hpo.training.recipe import Recipe, flatten

MOST_DROPPED = 0.2
"""Before a batch norm."""
FEW_EXAMPLES = 16
"""Of which batch norm takes its statistics."""
TRIALS_PER_PARAM = {"random": 8, "qmc": 8}
"""That a search needs at least, by sampler."""
FEWEST_PER_PARAM = 4
"""With a sampler that learns."""


def advice(sweep: AnySweep) -> list[str]:
    """What is allowed, but seldom goes well: the rule, what we got, and what to do; a path comes first."""
    if isinstance(sweep, OwnSweep):
        return list(_on_size(sweep))
    variants = kind_variants(sweep.recipe, sweep.space, "model.norm")
    found = [text for recipe in variants if _has_batch_norm(recipe, sweep.space) for text in _on(recipe, sweep.space)]
    return list(dict.fromkeys([*found, *_on_size(sweep)]))


def _on_size(sweep: AnySweep) -> Iterator[str]:
    """On how many params there are for the budget."""
    kind, scheduler = sweep.chosen.sampler.kind, sweep.chosen.scheduler
    if kind == "grid" or isinstance(scheduler, Pbt):  # the children of a population look further
        return
    num_params = most_at_once(sweep.space, sweep.conditions)
    needed = TRIALS_PER_PARAM.get(kind, FEWEST_PER_PARAM) * num_params
    if sweep.budget.trials < needed:
        yield (
            f"budget.trials: should be at least {needed} for {num_params} params at once with sampler.kind {kind}, but "
            f"is {sweep.budget.trials}: most of the space will not be seen. Raise it, or search fewer params."
        )


def _on(recipe: Recipe, space: Space) -> Iterator[str]:
    """On a recipe with batch norm."""
    for path in _dropouts_before_norm(recipe):
        most = max(_numbers(recipe, space, path))
        if most > MOST_DROPPED:
            yield (
                f"{path}: should be at most {MOST_DROPPED} before a batch norm, which it gives another variance in "
                f"training than in evaluation (Li et al. 2019), but may be {shown(most)}. Lower it, or use "
                "model.norm: layer."
            )
    for path in ("batch_size", "model.ghost_batch"):
        fewest = min((number for number in _numbers(recipe, space, path) if number > 0), default=FEW_EXAMPLES)
        if fewest < FEW_EXAMPLES:
            yield (
                f"{path}: should be at least {FEW_EXAMPLES} with model.norm: batch, whose statistics of few examples "
                f"are noise, but may be {fewest}. Raise it, or use another norm."
            )


def _has_batch_norm(recipe: Recipe, space: Space) -> bool:
    """Whether a trial may have it; a network of the user's own is not looked into."""
    norms = space["model.norm"].ends() if "model.norm" in space else (getattr(recipe.model, "norm", None),)
    return "batch" in norms


def _dropouts_before_norm(recipe: Recipe) -> list[str]:
    """Rates of layers behind which a batch norm follows; the dropout before the output has none behind it."""
    match recipe.model:
        case Mlp(hidden=hidden):
            return ["model.input_dropout", *(["model.dropout"] if len(hidden) > 1 else [])]
        case Cnn(channels=channels) if len(channels) > 1:
            return ["model.spatial_dropout"]
    return []


def _numbers(recipe: Recipe, space: Space, path: str) -> list[float]:
    """What trials may have there; 0 where there is no such setting."""
    values = space[path].ends() if path in space else (flatten(recipe.as_tree()).get(path, 0),)
    return [value for value in values if isinstance(value, int | float)]
