"""Conditions and constraints: what is written, and whether it holds."""

import random

import pytest

from hpo.errors import SpaceError
from hpo.spaces.expressions import Values, holds
from hpo.spaces.grammar import parse

KNOWN = frozenset({"optimizer.kind", "optimizer.lr", "mix", "width", "depth", "batch_size", "on", "hidden"})
TRIAL: Values = {
    "optimizer.kind": "adamw",
    "optimizer.lr": 0.01,
    "mix": "none",
    "width": 64,
    "batch_size": 128,
    "on": True,
    "hidden": (64, 64),
}


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("optimizer.kind == adamw", True),
        ("optimizer.kind == 'adamw'", True),
        ("optimizer.kind != adamw", False),
        ("mix in [mixup, cutmix]", False),
        ("mix not in [mixup, cutmix]", True),
        ("optimizer.lr > 1e-3 and width <= 64", True),
        ("optimizer.lr > 1e-1 or width < 64", False),
        ("not (width < 64)", True),
        ("32 < width < 128", True),
        ("32 < width < 64", False),
        ("width * batch_size <= 1e6", True),
        ("width * batch_size + 1 > 8192", True),
        ("width ** 2 / batch_size - 32 == 0", True),
        ("width > -1", True),
        ("on == true", True),
        ("on == 1", False),
        ("hidden == [64, 64]", True),
        ("hidden in [[64, 64], [128]]", True),
    ],
)
def test_an_expression_is_true_or_false_of_a_trial(text: str, truth: bool) -> None:
    assert holds(parse(text), TRIAL, KNOWN) is truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("depth == 2", None),
        ("not (depth == 2)", None),
        ("depth in [2, 3]", None),
        ("depth * width > 1", None),
        ("depth == 2 and width == 64", None),
        ("depth == 2 and width == 32", False),
        ("depth == 2 or width == 64", True),
        ("depth == 2 or width == 32", None),
    ],
)
def test_what_is_said_of_a_param_that_a_trial_has_not_is_neither_true_nor_false(text: str, truth: bool | None) -> None:
    assert holds(parse(text), TRIAL, KNOWN) is truth


@pytest.mark.parametrize("text", ["1 / (width - 64) > 0", "1 / (width - 64) <= 0", "width ** 1e9 > 0"])
def test_arithmetic_without_a_result_compares_with_nothing(text: str) -> None:
    assert holds(parse(text), TRIAL, KNOWN) is False


def test_arithmetic_is_that_of_python() -> None:
    draw = random.Random(0)
    for _ in range(200):
        a, b, c = (draw.uniform(0.1, 9) for _ in range(3))
        text = f"x {draw.choice('+-*/')} {b} {draw.choice('+-*/')} y ** 2 {draw.choice(['<', '<=', '>', '>='])} {c}"

        assert holds(parse(text), {"x": a, "y": c}, frozenset("xy")) is eval(text, {"x": a, "y": c})


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__ == 1",
        "open('x') == 1",
        "[x for x in y] == 1",
        "lambda: 1",
        "width := 3",
        "f'{width}' == a",
        "width if on else depth",
        "width[0] == 1",
        "width == b'a'",
        "width == 1j",
        "width is 1",
        "mix in mixup",
        "width",
        "width = 3",
        "",
        "(" * 300,
        "width == [1, a]",
    ],
)
def test_what_is_no_comparison_of_params_is_refused(text: str) -> None:
    with pytest.raises(SpaceError, match="an expression is written like"):
        parse(text)


def test_a_very_long_expression_is_refused() -> None:
    with pytest.raises(SpaceError, match="at most 1000 characters, but got 1205. Shorten it."):
        parse("1 + " * 300 + "x < 1")


def test_words_have_no_size() -> None:
    with pytest.raises(SpaceError, match="sizes and sums are of numbers, but got adamw"):
        holds(parse("optimizer.kind > 3"), TRIAL, KNOWN)
