"""Settings without effect: a table of what each one needs, and what follows from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hpo.errors import Problem
from hpo.spaces.values import shown
from hpo.sweep.cases import Cases, Setting
from hpo.sweep.choosing import CYCLES


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
    "schedule.stretch": (IsNot("schedule.cycles", 1),),
    "schedule.decay": (IsNot("schedule.cycles", 1),),
    "snapshots": tuple(Is("schedule.kind", kind) for kind in CYCLES),
    "early_stopping.min_delta": (IsNot("early_stopping.patience", 0),),
    "diagnostics.kinds": (IsNot("diagnostics.every", 0),),
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
    "schedule.stretch": 1,
    "schedule.decay": 1,
    "snapshots": "last",
    "early_stopping.min_delta": 0,
    "batch_growth.most": 0,
}
"""Values that ask for nothing, and so may always be written down."""


def inert_problems(cases: Cases, explicit: Iterable[str]) -> list[Problem]:
    """No setting that was written down or is searched may be without effect.

    Args:
        cases: the sweep's.
        explicit: paths that the sweep file itself sets.
    """
    inert = ((path, _idle(path, cases)) for path in NEEDS if path in cases.space or path in explicit)
    return [
        Problem(key=f"space.{path}" if path in cases.space else path, message=_message(found))
        for path, found in inert
        if found
    ]


def inert_paths(cases: Cases) -> list[str]:
    """Paths that ask for something and yet make no difference to any trial."""
    return [path for path in NEEDS if _idle(path, cases)]


def _idle(path: str, cases: Cases) -> list[tuple[str, Setting]]:
    """What trials that have `path`, and ask for something by it, have of what it needs; nothing if it has an effect."""
    having = (path,) if path in cases.space else ()
    found = [
        (need, case.get(need.path))
        for need in NEEDS[path]
        for case in cases.of(path, need.path, having=having)
        if path in case and (path not in HARMLESS or case[path] != HARMLESS[path])
    ]
    return [] if any(need.allows(value) for need, value in found) else [(need.path, value) for need, value in found]


def _message(found: Iterable[tuple[str, Setting]]) -> str:
    met: dict[str, dict[str, None]] = {}
    for other, value in found:
        met.setdefault(other, {})[shown(value)] = None
    reasons = " and ".join(f"{other} is {' or '.join(values)}" for other, values in met.items())
    return f"has no effect, because {reasons}. Delete it, or change {'one of these' if len(met) > 1 else 'that'}."
