"""The study that the tests of this folder open."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from hpo.records import Goal
from hpo.search.samplers import Tpe
from hpo.search.shape import Shape
from hpo.search.study import Study
from hpo.search.terms import Search
from hpo.spaces import Choice, Domain, LogUniform, QUniform, RandInt, Uniform
from hpo.spaces.conditions import Conditions

SPACE: Mapping[str, Domain] = {
    "optimizer.lr": LogUniform(min=1e-4, max=1.0),
    "optimizer.momentum": Uniform(min=0.0, max=0.99),
    "model.dropout": QUniform(min=0.0, max=0.6, q=0.05),
    "model.depth": RandInt(min=1, max=5),
    "model.hidden": Choice(values=((32,), (128, 64))),
    "initializer.kind": Choice(values=("xavier_normal", "orthogonal")),
}


SEARCH = Search(space=SPACE, metric="val_accuracy", goal=Goal.MAXIMIZE, max_epochs=27, sampler=Tpe(), seed=0)


def open_study(folder: Path, **changes: Any) -> Study:
    """With what is changed of `SEARCH`."""
    return Study.open(folder / "study.db", replace(SEARCH, **changes))


def shape_of(**space: Domain) -> Shape:
    """Of a space without constraints."""
    return Shape(space, Conditions(space))


def read_with_optuna(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials as plain Optuna finds them in the file."""
    return optuna.load_study(study_name="hpo", storage=f"sqlite:///{folder / 'study.db'}").trials
