"""The study that the tests of this folder open."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import optuna

from hpo.records import Goal, Params
from hpo.search.samplers import Sampler, Tpe
from hpo.search.study import Study
from hpo.spaces.domain import Choice, Domain, LogUniform, QUniform, RandInt, Uniform

SPACE: Mapping[str, Domain] = {
    "optimizer.lr": LogUniform(min=1e-4, max=1.0),
    "optimizer.momentum": Uniform(min=0.0, max=0.99),
    "model.dropout": QUniform(min=0.0, max=0.6, q=0.05),
    "model.depth": RandInt(min=1, max=5),
    "model.hidden": Choice(values=((32,), (128, 64))),
    "initializer.kind": Choice(values=("xavier_normal", "orthogonal")),
}


def open_study(
    folder: Path,
    *,
    space: Mapping[str, Domain] = SPACE,
    metric: str = "val_accuracy",
    goal: Goal = Goal.MAXIMIZE,
    sampler: Sampler | None = None,
    seed: int = 0,
    points: Sequence[Params] = (),
    derive: Callable[[Params], Params] = lambda _: {},
) -> Study:
    return Study.open(
        folder / "study.db",
        space=space,
        metric=metric,
        goal=goal,
        sampler=sampler or Tpe(),
        seed=seed,
        points=points,
        derive=derive,
    )


def read_with_optuna(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials as plain Optuna finds them in the file."""
    return optuna.load_study(study_name="hpo", storage=f"sqlite:///{folder / 'study.db'}").trials
