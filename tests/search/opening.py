"""The study that the tests of this folder open."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from hpo.records import Goal
from hpo.search.places import Place
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


def open_study(place: Place, **changes: Any) -> Study:
    """With what is changed of `SEARCH`; a path is that of the study's folder."""
    return Study.open(database_at(place), replace(SEARCH, **changes))


def database_at(place: Place) -> Place:
    """The study's file, or its place in PostgreSQL."""
    return place / "study.db" if isinstance(place, Path) else place


def shape_of(**space: Domain) -> Shape:
    """Of a space without constraints."""
    return Shape(space, Conditions(space))


def read_with_optuna(place: Place) -> list[optuna.trial.FrozenTrial]:
    """The trials as plain Optuna finds them."""
    name, url = optuna_names(place)
    return optuna.load_study(study_name=name, storage=url).trials


def optuna_names(place: Place) -> tuple[str, str]:
    """The name of the study, and the address of its database."""
    if isinstance(place, Path):
        return "hpo", f"sqlite:///{place / 'study.db'}"
    return place.name, place.url.replace("postgresql:", "postgresql+psycopg:")
