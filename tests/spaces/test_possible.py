"""Which values trials may have together."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from hpo.records import ParamValue
from hpo.spaces import Choice, Domain, LogUniform, RandInt
from hpo.spaces.conditions import Conditions
from hpo.spaces.possible import Presence, Wanted, may_be

SPACE: dict[str, Domain] = {
    "kind": Choice(values=("flat", "deep")),
    "norm": Choice(values=("none", "batch"), when="kind == deep"),
    "size": Choice(values=(1, 8, 64)),
    "ghost": Choice(values=(0, 16), when="norm == batch and size > 1"),
}
CONSTRAINTS = ("norm == none or size >= 8", "ghost == 0 or size == 64")


def wishes(domain: Domain) -> tuple[ParamValue | Presence, ...]:
    return (*Presence, *domain.ends())


def fulfils(trial: Mapping[str, ParamValue], wanted: Wanted) -> bool:
    found = {path: trial.get(path, Presence.ABSENT) for path in wanted}
    return all(
        found[path] is not Presence.ABSENT if wish is Presence.PRESENT else found[path] == wish
        for path, wish in wanted.items()
    )


def test_of_choices_it_says_what_a_list_of_all_trials_says() -> None:
    conditions = Conditions(SPACE, CONSTRAINTS)
    values = itertools.product(*(domain.ends() for domain in SPACE.values()))
    trials = [conditions.present(dict(zip(SPACE, combination, strict=True))) for combination in values]
    allowed = [trial for trial in trials if conditions.allow(trial)]
    pairs = [
        {path: wish, other: other_wish}
        for path, other in itertools.combinations(SPACE, 2)
        for wish, other_wish in itertools.product(wishes(SPACE[path]), wishes(SPACE[other]))
    ]

    said = [may_be(SPACE, conditions, wanted) for wanted in pairs]

    assert said == [any(fulfils(trial, wanted) for trial in allowed) for wanted in pairs]
    assert {True, False} <= set(said)


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ({"size": 1, "norm": "batch"}, False),
        ({"size": 8, "norm": "batch"}, True),
        ({"slope": Presence.PRESENT, "rate": 0.5}, False),
        ({"slope": Presence.PRESENT, "rate": Presence.PRESENT}, True),
        ({"slope": Presence.ABSENT, "rate": 0.01}, False),
        ({"norm": Presence.ABSENT}, False),
    ],
)
def test_of_numbers_it_rules_out_what_one_comparison_rules_out(wanted: Wanted, answer: bool) -> None:
    space: dict[str, Domain] = {
        "norm": Choice(values=("none", "batch")),
        "rate": LogUniform(min=1e-4, max=1),
        "size": RandInt(min=1, max=64),
        "slope": LogUniform(min=0.1, max=1, when="rate < 0.1"),
    }
    conditions = Conditions(space, ["norm == none or size >= least"], {"least": 8})

    assert may_be(space, conditions, wanted) is answer


def test_what_would_take_too_many_combinations_is_not_ruled_out() -> None:
    words = tuple("abcdefghij")
    space: dict[str, Domain] = {f"x{number}": Choice(values=words) for number in range(6)}
    circle = ["x0 == x1", "x1 == x2", "x2 == x3", "x3 == x4", "x4 == x5"]
    conditions = Conditions(space, circle)

    assert not may_be(space, conditions, {"x0": "a", "x2": "b"})
    assert may_be(space, conditions, {"x0": "a", "x5": "b"})


def test_what_it_rules_out_no_random_trial_has() -> None:
    space: dict[str, Domain] = {
        "rate": LogUniform(min=1e-3, max=1),
        "size": RandInt(min=1, max=64),
        "slope": Choice(values=(0.1, 0.2), when="rate * size < 1"),
        "share": Choice(values=(0.5, 0.7), when="slope == 0.1 or size > 32"),
    }
    conditions = Conditions(space, ["slope + rate < 0.5", "share > 0.5 or size < 60"])
    generator = np.random.default_rng(0)
    found = []
    for _ in range(500):
        values = {"rate": float(generator.uniform(1e-3, 1)), "size": int(generator.integers(1, 65))}
        choices = {"slope": float(generator.choice([0.1, 0.2])), "share": float(generator.choice([0.5, 0.7]))}
        trial = conditions.present({**values, **choices})
        found += [{path: trial.get(path, Presence.ABSENT) for path in space}] if conditions.allow(trial) else []

    assert len(found) > 100
    assert all(may_be(space, conditions, wanted) for wanted in found)
