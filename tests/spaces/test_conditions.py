"""Which params a trial has, and which combinations are allowed."""

import pytest

from hpo.errors import SpaceError
from hpo.records import ParamValue
from hpo.spaces import Choice, Constant, Domain, RandInt, Uniform
from hpo.spaces.conditions import Conditions

SPACE: dict[str, Domain] = {
    "a.share": Uniform(min=0, max=1, when="depth > 2 and kind == deep"),
    "depth": RandInt(min=1, max=5, when="kind == deep"),
    "kind": Choice(values=("flat", "deep")),
    "slope": Constant(value=0.1, when="a.share > 0.5"),
    "width": RandInt(min=1, max=64),
}
ALL: dict[str, ParamValue] = {"a.share": 0.7, "depth": 3, "kind": "deep", "slope": 0.1, "width": 8}


def test_a_param_comes_after_those_that_its_condition_names() -> None:
    order = Conditions(SPACE).order

    assert order == ("kind", "width", "depth", "a.share", "slope")


@pytest.mark.parametrize(
    ("changed", "present"),
    [
        ({}, {"a.share", "depth", "kind", "slope", "width"}),
        ({"a.share": 0.2}, {"a.share", "depth", "kind", "width"}),
        ({"depth": 2}, {"depth", "kind", "width"}),
        ({"kind": "flat"}, {"kind", "width"}),
    ],
)
def test_a_condition_on_an_absent_param_does_not_hold(changed: dict[str, ParamValue], present: set[str]) -> None:
    assert Conditions(SPACE).present(ALL | changed).keys() == present


def test_a_constraint_binds_trials_that_have_what_it_speaks_of() -> None:
    conditions = Conditions(SPACE, ["depth * width <= limit"], {"limit": 20})

    assert not conditions.allow({"kind": "deep", "depth": 3, "width": 8})
    assert conditions.allow({"kind": "deep", "depth": 2, "width": 8})
    assert conditions.allow({"kind": "flat", "width": 64})


def test_conditions_in_a_circle_are_refused() -> None:
    space: dict[str, Domain] = {"x": Uniform(min=0, max=1, when="y > 0"), "y": Uniform(min=0, max=1, when="x > 0")}

    with pytest.raises(SpaceError, match="must not go round in a circle, but [xy] needs [xy] needs [xy]"):
        Conditions(space)
