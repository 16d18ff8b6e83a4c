"""Settings without effect: a table of what each one needs, and what follows from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from hpo.config import Config, JsonTree
from hpo.errors import Problem, SpaceError
from hpo.records import ParamValue
from hpo.spaces.coordinates import COORDINATES
from hpo.spaces.space import Space
from hpo.spaces.values import shown
from hpo.sweep.rules import kind_variants
from hpo.training.recipe import Recipe, flatten

Setting = ParamValue | None


@dataclass(frozen=True)
class Is:
    """`path` has this value."""

    path: str
    value: Setting

    def allows(self, value: Setting) -> bool:
        """Whether `value` is the one."""
        return value == self.value


@dataclass(frozen=True)
class IsNot:
    """`path` has another value than this one."""

    path: str
    value: Setting

    def allows(self, value: Setting) -> bool:
        """Whether `value` is another."""
        return value != self.value


NEEDS: Mapping[str, tuple[Is | IsNot, ...]] = {
    "data.test": (Is("data.test_folder", None),),
    "model.leaky_slope": (Is("model.activation", "leaky_relu"),),
    "model.maxout_k": (Is("model.activation", "maxout"),),
    "model.norm_position": (IsNot("model.norm", "none"),),
    "model.norm_momentum": (Is("model.norm", "batch"),),
    "model.ghost_batch": (Is("model.norm", "batch"),),
    "model.group_size": (Is("model.norm", "group"),),
    "frozen_norms": (IsNot("frozen_layers", 0),),
    "optimizer.nesterov": (IsNot("optimizer.momentum", 0),),
    "optimizer.decay_mode": (IsNot("optimizer.weight_decay", 0),),
    "loss.teacher": (IsNot("loss.alpha", 0),),
    "loss.temperature": (IsNot("loss.alpha", 0),),
    "loss.label_smoothing": (IsNot("loss.alpha", 1),),
    "augmentation.padding": (
        IsNot("augmentation.translate", 0),
        IsNot("augmentation.scale_min", 1),
        IsNot("augmentation.rotate_deg", 0),
        IsNot("augmentation.auto", "none"),
        IsNot("augmentation.strength", 0),
    ),
    "augmentation.auto_magnitude": (Is("augmentation.auto", "rand"),),
    "augmentation.gridmask_d": (IsNot("augmentation.gridmask", 0),),
    "augmentation.gridmask_r": (IsNot("augmentation.gridmask", 0),),
    "augmentation.hide_and_seek_grid": (IsNot("augmentation.hide_and_seek", 0),),
    "augmentation.mix_alpha": (IsNot("augmentation.mix", "none"),),
    "augmentation.mix_prob": (IsNot("augmentation.mix", "none"),),
    "export.fold_norms": (Is("model.norm", "batch"), Is("model.kind", "custom")),
    "export.weights": (IsNot("ema_half_life", 0), IsNot("swa_start", 0)),
    "swa_lr": (IsNot("swa_start", 0),),
    "early_stopping.min_delta": (IsNot("early_stopping.patience", 0),),
    "batch_growth.factor": (IsNot("batch_growth.every", 0),),
    "batch_growth.most": (IsNot("batch_growth.every", 0),),
}
"""A setting, and what it needs for an effect: one of these."""

HARMLESS: Mapping[str, Setting] = {
    "frozen_norms": False,
    "optimizer.nesterov": False,
    "optimizer.decay_mode": "coupled",
    "model.ghost_batch": 0,
    "loss.label_smoothing": 0,
    "export.fold_norms": False,
    "export.weights": "raw",
    "swa_lr": 0,
    "early_stopping.min_delta": 0,
    "batch_growth.most": 0,
}
"""Values that ask for nothing, and so may always be written down."""


def inert_problems(
    recipe: Recipe, beside: Mapping[str, Config], space: Space, explicit: Iterable[str]
) -> list[Problem]:
    """No setting that was written down or is searched may be without effect.

    Args:
        recipe: the sweep's.
        beside: the sweep's sections beside the recipe, by name.
        space: the sweep's.
        explicit: paths that the sweep file itself sets.
    """
    values = _values(recipe, beside)
    keys = {path: f"space.{path}" if path in space else path for path in inert_paths(recipe, beside, space)}
    return [
        Problem(key=key, message=_message(path, values, space))
        for path, key in keys.items()
        if path in space or path in explicit
    ]


def inert_paths(recipe: Recipe, beside: Mapping[str, Config], space: Space) -> list[str]:
    """Paths that ask for something and yet make no difference to any trial."""
    return [path for path in NEEDS if _is_inert(path, recipe, beside, space)]


def _is_inert(path: str, recipe: Recipe, beside: Mapping[str, Config], space: Space) -> bool:
    """Whether some kinds that `path` and what it needs will meet have it, and none of these lets it have an effect."""
    try:
        variants = [
            variant
            for own in kind_variants(recipe, space, path)
            for need in NEEDS[path]
            for variant in kind_variants(own, space, need.path)
        ]
    except (SpaceError, ValidationError):
        return False  # the searched kind itself is wrong, and is reported at its own path
    trees = [_values(variant, beside) for variant in variants]
    trees = [values for values in trees if path in values and _asks(path, values, space)]
    return bool(trees) and not any(_has_effect(path, values, space) for values in trees)


def _values(recipe: Recipe, beside: Mapping[str, Config]) -> JsonTree:
    return flatten(recipe.as_tree() | {name: config.as_tree() for name, config in beside.items()})


def _asks(path: str, values: JsonTree, space: Space) -> bool:
    return path not in HARMLESS or any(value != HARMLESS[path] for value in _possible(path, values, space))


def _has_effect(path: str, values: JsonTree, space: Space) -> bool:
    return any(need.allows(value) for need in NEEDS[path] for value in _possible(need.path, values, space))


def _possible(path: str, values: JsonTree, space: Space) -> tuple[Setting, ...]:
    """What trials may have at `path`: the ends of its domain, where it is searched.

    Where an effective coordinate sets it, the coordinate's own ends: of neither are all 0.
    """
    setters = [name for name, coordinate in COORDINATES.items() if coordinate.raw == path]
    searched = next((name for name in (path, *setters) if name in space), None)
    return space[searched].ends() if searched else (values.get(path),)


def _message(path: str, values: JsonTree, space: Space) -> str:
    found = {need.path: _possible(need.path, values, space) for need in NEEDS[path]}
    reasons = " and ".join(f"{other} is {' or '.join(map(shown, possible))}" for other, possible in found.items())
    return f"has no effect, because {reasons}. Delete it, or change {'one of these' if len(found) > 1 else 'that'}."
