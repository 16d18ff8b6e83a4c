import math
from typing import Any

import pytest
from pydantic import ValidationError

from hpo.records import ParamValue
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
    parse_space,
)


def parse(written: object) -> Domain:
    return parse_space({"path": written})["path"]


@pytest.mark.parametrize(
    ("short", "domain"),
    [
        ("uniform(0, 0.99)", Uniform(min=0, max=0.99)),
        ("loguniform(1e-4, 1)", LogUniform(min=1e-4, max=1)),
        ("quniform(0, 0.6, 0.05)", QUniform(min=0, max=0.6, q=0.05)),
        ("randint(1, 4)", RandInt(min=1, max=4)),
        (" choice ( 32,64 ) ", Choice(values=(32, 64))),
        ("choice([64], [128, 128])", Choice(values=((64,), (128, 128)))),
        ("choice(relu, 'tanh', on, true, 0.5)", Choice(values=("relu", "tanh", "on", True, 0.5))),
        ("ordinal(small, medium, large)", Ordinal(values=("small", "medium", "large"))),
        ("qloguniform(0.01, 1, 0.01)", QLogUniform(min=0.01, max=1, q=0.01)),
        ("lograndint(16, 1024)", LogRandInt(min=16, max=1024)),
        ("qrandint(8, 64, 8)", QRandInt(min=8, max=64, q=8)),
        ("constant(true)", Constant(value=True)),
    ],
)
def test_a_short_form_is_the_long_form(short: str, domain: Domain) -> None:
    parsed = parse(short)

    assert parsed == domain
    assert parse(domain.as_tree()) == domain


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "uniform(2, 1)",
            "`min < max` must hold, but got min=2, max=1. Swap the bounds, or set the value in the recipe",
        ),
        (
            "randint(2, 2)",
            "`min < max` must hold, but got min=2, max=2. Swap the bounds, or set the value in the recipe",
        ),
        ("loguniform(0, 1)", "`min > 0` must hold, but got min=0: a logarithm needs it. Raise min, or use uniform."),
        ("quniform(0, 1, 0)", "`q > 0` must hold, but got q=0. Set the step between two values."),
        ("quniform(0, 1, 0.3)", "but got min=0, max=1, q=0.3. Use max=0.9, or another step."),
        ("quniform(0, 1, 3)", "but got min=0, max=1, q=3. Use max=3, or another step."),
        ("choice(1)", "a choice must hold at least two values, no two of them the same, but got [1]."),
        ("choice(1, 2, 1.0)", "a choice must hold at least two values, no two of them the same, but got [1, 2, 1.0]."),
        ("choice(1, null)", "list of whole numbers, but got nothing."),
        ("choice([64], [a])", "list of whole numbers, but got [a]."),
        ("choice(1, .nan)", "must be a finite number, text, true, false or a list of whole numbers, but got nan."),
        ("ordinal(1)", "must hold at least two values, no two of them the same, but got [1]."),
        ("qloguniform(0.01, 1, 0.03)", "min must be a multiple of q=0.03, but got 0.01. Use 0.03."),
        ("qloguniform(0, 1, 0.1)", "`min > 0` must hold, but got min=0: a logarithm needs it."),
        ("lograndint(0, 9)", "`min >= 1` must hold, but got min=0: a logarithm needs it. Raise min, or use randint."),
        ("qrandint(1, 10, 4)", "but got min=1, max=10, q=4. Use max=9, or another step."),
        ("constant(1, 2)", "constant is written constant(value), but got constant(1, 2)."),
        (
            {"distribution": "uniform", "min": 0, "max": 1, "prior": 2},
            "prior must lie in the domain, which goes from 0.0 to 1.0, but got 2. Change one of the two.",
        ),
        (
            {"distribution": "uniform", "min": 0, "max": 1, "prior_confidence": "low"},
            "prior_confidence has no effect without a prior. Add one, or delete it.",
        ),
        (
            {"distribution": "uniform", "min": 0, "max": 1, "when": "optimizer.kind = adam"},
            "but got optimizer.kind = adam. Quote a word that has other signs than letters.",
        ),
        ("uniform(0, .inf)", "Input should be a finite number"),
        ("uniform(1)", "uniform is written uniform(min, max), but got uniform(1)."),
        (
            "normal(0, 1)",
            "lograndint, qrandint, choice, ordinal, constant, but got normal.",
        ),
        ("uniform 0 1", "a domain is written like loguniform(1e-4, 1) or choice(32, 64), but got uniform 0 1."),
        (
            "uniform(0",
            (
                "a domain is written like loguniform(1e-4, 1) or choice(32, 64), but got uniform(0. "
                "Within braces it needs quotes, for a comma there ends a value."
            ),
        ),
        (0.1, "a domain is written like loguniform(1e-4, 1) or choice(32, 64), but got 0.1."),
        ("choice(1], [2)", "the values of a domain are separated by commas, as in choice(32, 64), but got choice(1]"),
    ],
)
def test_an_impossible_domain_is_refused(written: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(written)

    assert message in str(caught.value)


@pytest.mark.parametrize("value", [0, 0.15, 0.05 * 3, 0.1 + 0.2, 0.6])
def test_a_quantised_domain_contains_its_grid_to_rounding(value: float) -> None:
    domain = QUniform(min=0, max=0.6, q=0.05)

    assert domain.contains(value)


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (QUniform(min=0, max=0.6, q=0.05), 0.07),
        (QUniform(min=0, max=0.6, q=0.05), 0.65),
        (Uniform(min=0, max=1), 1.1),
        (Uniform(min=0, max=1), True),
        (Uniform(min=0, max=1), "0.5"),
        (Uniform(min=0, max=1), math.nan),
        (LogUniform(min=1e-4, max=1), 0),
        (RandInt(min=1, max=4), 5),
        (RandInt(min=1, max=4), 2.0),
        (Choice(values=(1, 2)), True),
        (Choice(values=((64,), (64, 64))), (128,)),
    ],
)
def test_a_domain_does_not_contain_what_it_never_proposes(domain: Any, value: ParamValue) -> None:
    is_inside = domain.contains(value)

    assert not is_inside


@pytest.mark.parametrize(
    ("domain", "ends"),
    [
        (Uniform(min=0, max=1), (0, 1)),
        (LogUniform(min=1e-4, max=1), (1e-4, 1)),
        (QUniform(min=0, max=1, q=0.5), (0, 1)),
        (RandInt(min=1, max=4), (1, 4)),
        (Choice(values=(3, 1, 2)), (3, 1, 2)),
    ],
)
def test_a_domain_contains_its_ends(domain: Any, ends: tuple[ParamValue, ...]) -> None:
    found = domain.ends()

    assert found == ends
    assert all(domain.contains(end) for end in found)


def test_true_and_1_are_different_choices() -> None:
    domain = parse("choice(1, true)")

    assert domain == Choice(values=(1, True))
