from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest

from hpo.records import Params, ParamValue
from hpo.search.exploring import explored, moved
from hpo.spaces import (
    Choice,
    Constant,
    Domain,
    LogRandInt,
    LogUniform,
    Ordinal,
    QLogUniform,
    QRandInt,
    QUniform,
    RandInt,
    Uniform,
)
from hpo.spaces.conditions import Conditions

SIZES = Choice(values=(32, 64, 128))
SPACE: dict[str, Domain] = {
    "rate": LogUniform(min=1e-4, max=1),
    "share": Uniform(min=0, max=0.9),
    "drop": QUniform(min=0, max=0.6, q=0.05),
    "units": RandInt(min=4, max=512),
    "size": SIZES,
    "flip": Choice(values=("none", "random")),
}
PARENT: Params = {"rate": 0.1, "share": 0.5, "drop": 0.3, "units": 100, "size": 64, "flip": "none"}


@pytest.mark.parametrize(
    ("domain", "value", "up", "down"),
    [
        (LogUniform(min=1e-4, max=1), 0.1, 0.12, 0.1 / 1.2),
        (LogUniform(min=1e-4, max=1), 0.9, 1.0, 0.75),
        (Uniform(min=0.1, max=0.9), 0.11, 0.132, 0.1),
        (Uniform(min=-2, max=2), -1.0, -1.2, -1 / 1.2),
        (Uniform(min=0, max=1), 0.0, 0.0, 0.0),
        (QUniform(min=0, max=0.6, q=0.05), 0.3, 0.35, 0.25),
        (QUniform(min=0, max=0.6, q=0.05), 0.1, 0.15, 0.05),
        (QUniform(min=0, max=0.6, q=0.05), 0.0, 0.05, 0.0),
        (QUniform(min=0, max=0.6, q=0.05), 0.6, 0.6, 0.5),
        (QUniform(min=0, max=100, q=1), 50.0, 60.0, 42.0),
        (RandInt(min=4, max=512), 100, 120, 83),
        (RandInt(min=4, max=512), 4, 5, 4),
        (RandInt(min=4, max=512), 500, 512, 417),
        (QLogUniform(min=0.01, max=10, q=0.01), 0.1, 0.12, 0.08),
        (QLogUniform(min=0.01, max=10, q=0.01), 0.02, 0.03, 0.01),
        (LogRandInt(min=1, max=1024), 64, 77, 53),
        (QRandInt(min=16, max=512, q=16), 128, 160, 112),
        (QRandInt(min=16, max=512, q=16), 16, 32, 16),
        (Ordinal(values=("low", "medium", "high")), "medium", "high", "low"),
        (Ordinal(values=((64,), (32, 32), (128,))), (128,), (128,), (32, 32)),
        (Constant(value=3), 3, 3, 3),
        (SIZES, 64, 128, 32),
        (SIZES, 128, 128, 64),
        (Choice(values=(64, 32, 128)), 32, 32, 32),
        (Choice(values=(False, True)), False, False, False),
        (Choice(values=((64,), (128,))), (64,), (64,), (64,)),
    ],
    ids=str,
)
def test_a_value_moves_by_a_factor_and_where_there_are_steps_by_one_at_least(
    domain: Domain, value: ParamValue, up: ParamValue, down: ParamValue
) -> None:
    found = [moved(domain, value, by) for by in (1.2, 1 / 1.2)]

    assert found == [pytest.approx(expected) if isinstance(expected, float) else expected for expected in (up, down)]
    assert [type(new) for new in found] == [type(value)] * 2


def child(
    seed: int,
    *,
    resample: float,
    space: Mapping[str, Domain] = SPACE,
    parent: Params = PARENT,
    constraints: Sequence[str] = (),
    may_be: Callable[[Params], bool] = lambda _: True,
) -> Params:
    conditions = Conditions(space, constraints)
    draws = Random(seed)
    return explored(space, conditions, parent, resample=resample, factor=1.2, generator=draws, may_be=may_be)


def test_a_child_has_the_same_params_each_within_its_domain() -> None:
    for seed in range(200):
        params = child(seed, resample=0.5)

        assert params.keys() == SPACE.keys()
        assert [path for path, domain in SPACE.items() if not domain.contains(params[path])] == []


def test_up_and_down_are_as_likely_for_each_param_by_itself() -> None:
    children = [child(seed, resample=0) for seed in range(400)]

    found = Counter((round(float(str(params["rate"])), 9), params["size"]) for params in children)
    assert found.keys() == {(rate, size) for rate in (0.12, 0.083333333) for size in (32, 128)}
    assert all(num == pytest.approx(100, abs=35) for num in found.values())


def test_a_share_of_params_is_drawn_anew_as_the_domain_says() -> None:
    anew = [
        rate for seed in range(800) if (rate := child(seed, resample=0.25)["rate"]) not in (0.1 * 1.2, 0.1 * (1 / 1.2))
    ]

    assert len(anew) == pytest.approx(200, abs=40)
    assert sum(isinstance(rate, float) and rate < 1e-2 for rate in anew) == pytest.approx(100, abs=35)


def test_a_param_that_may_not_change_stays_while_the_others_do() -> None:
    for seed in range(20):
        params = child(seed, resample=0.5, may_be=lambda params: (params["units"], params["flip"]) == (100, "none"))

        assert (params["units"], params["flip"]) == (100, "none")
        assert params["rate"] != 0.1


def test_a_child_keeps_to_the_constraints_and_has_the_params_that_go_with_its_choices() -> None:
    space: dict[str, Domain] = {
        "units": RandInt(min=4, max=512),
        "size": SIZES,
        "mix": Choice(values=("none", "mixup")),
        "alpha": Uniform(min=0.1, max=1, when="mix == mixup"),
        "warm": Constant(value=5, when="mix == none"),
    }
    parent: Params = {"units": 100, "size": 64, "mix": "none", "warm": 5}
    children = [
        child(seed, resample=0.5, space=space, parent=parent, constraints=["units * size <= 8000"])
        for seed in range(100)
    ]

    assert {params["mix"] for params in children} == {"none", "mixup"}
    for params in children:
        assert params.keys() == {"units", "size", "mix", "warm" if params["mix"] == "none" else "alpha"}
        assert int(str(params["units"])) * int(str(params["size"])) <= 8000
