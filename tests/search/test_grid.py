"""Every combination, once."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import StudyError
from hpo.records import Params
from hpo.search.samplers import Grid
from hpo.spaces import Choice, Domain, QUniform, RandInt
from tests.search.opening import open_study

SPACE: Mapping[str, Domain] = {
    "model.hidden": Choice(values=((32,), (128, 64))),
    "model.dropout": QUniform(min=0.0, max=0.3, q=0.1),
    "model.depth": RandInt(min=1, max=3),
}
ALL = set(itertools.product(((32,), (128, 64)), (0.0, 0.1, 0.2, 0.3), (1, 2, 3)))


def propose(folder: Path, num: int, **changes: Any) -> list[Params]:
    with open_study(folder, space=SPACE, sampler=Grid(), **changes) as study:
        return [trial.params for trial in study.ask(num)]


def as_tuple(params: Params) -> tuple[object, ...]:
    return tuple(params[path] for path in SPACE)


def test_every_combination_is_proposed_once(tmp_path: Path) -> None:
    proposals = propose(tmp_path, 24)

    assert {as_tuple(params) for params in proposals} == ALL


def test_an_early_end_has_seen_every_value(tmp_path: Path) -> None:
    proposals = propose(tmp_path, 12)

    assert all(len({params[path] for params in proposals}) == num for path, num in zip(SPACE, (2, 4, 3), strict=True))


def test_points_come_first_and_are_not_tried_again(tmp_path: Path) -> None:
    whole = {"model.hidden": (32,), "model.dropout": 0.3, "model.depth": 2}

    proposals = propose(tmp_path, 24, points=(whole, {"model.depth": 3}))

    assert proposals[0] == whole
    assert proposals[1]["model.depth"] == 3
    assert {as_tuple(params) for params in proposals} == ALL


def test_a_point_given_twice_is_tried_twice(tmp_path: Path) -> None:
    whole = {"model.hidden": (32,), "model.dropout": 0.3, "model.depth": 2}

    proposals = propose(tmp_path, 25, points=(whole, whole))

    assert proposals[:2] == [whole, whole]
    assert {as_tuple(params) for params in proposals} == ALL


def test_a_grid_that_is_used_up_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="all 24 combinations of the grid have been proposed. Lower budget.trials"):
        propose(tmp_path, 25)
