"""Conditions and constraints: comparisons between params, parsed and never run as code.

`optimizer.kind == adamw and optimizer.lr > 1e-3`, `augmentation.mix in [mixup, cutmix]`, `width * batch_size <= 1e6`.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal as Word

from hpo.errors import SpaceError
from hpo.records import ParamValue

Values = Mapping[str, ParamValue]

Relation = Word["==", "!=", "<", "<=", ">", ">="]
Operation = Word["+", "-", "*", "/", "**"]


@dataclass(frozen=True)
class Literal:
    """A value that is written down."""

    value: ParamValue


@dataclass(frozen=True)
class Name:
    """A param; or a word, where there is no such param."""

    name: str


@dataclass(frozen=True)
class Arithmetic:
    """A number from two."""

    symbol: Operation
    left: "Operand"
    right: "Operand"


@dataclass(frozen=True)
class Compare:
    """Whether two operands stand in a relation."""

    symbol: Relation
    left: "Operand"
    right: "Operand"


@dataclass(frozen=True)
class Among:
    """Whether an operand is one of several."""

    left: "Operand"
    values: tuple["Operand", ...]


@dataclass(frozen=True)
class Not:
    """The opposite."""

    of: "Expression"


@dataclass(frozen=True)
class All:
    """`and`."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Any:
    """`or`."""

    parts: tuple["Expression", ...]


Operand = Literal | Name | Arithmetic
Expression = Compare | Among | Not | All | Any


def names_in(expression: Expression | Operand) -> Iterator[str]:
    """Every name in it, params and words."""
    match expression:
        case Name(name):
            yield name
        case Literal():
            pass
        case Not(part):
            yield from names_in(part)
        case All(parts) | Any(parts):
            for part in parts:
                yield from names_in(part)
        case Among(left, values):
            for operand in (left, *values):
                yield from names_in(operand)
        case Compare(_, left, right) | Arithmetic(_, left, right):
            yield from names_in(left)
            yield from names_in(right)


def comparisons_in(expression: Expression) -> Iterator[Compare | Among]:
    """Every comparison in it."""
    match expression:
        case Compare() | Among():
            yield expression
        case Not(part):
            yield from comparisons_in(part)
        case All(parts) | Any(parts):
            for part in parts:
                yield from comparisons_in(part)


def holds(expression: Expression, values: Values, known: frozenset[str]) -> bool | None:
    """Whether it is true of `values`; none where that hangs on a param of `known` that has no value.

    With no value a comparison is neither true nor false (Kleene's three-valued logic): `or` still holds by its other
    part, and `not` of it does not hold either.

    Args:
        expression: from `parse`.
        values: of the params that have one.
        known: names that are params; any other is a word.

    Raises:
        SpaceError: if it computes with words, or asks which of them is greater.
    """
    match expression:
        case Not(part):
            return _opposite(holds(part, values, known))
        case All(parts):
            return _all([holds(part, values, known) for part in parts])
        case Any(parts):
            return _any([holds(part, values, known) for part in parts])
        case Among(left, choices):
            return _any([_compare("==", left, choice, values, known) for choice in choices])
        case Compare(symbol, left, right):
            return _compare(symbol, left, right, values, known)


def _compare(symbol: Relation, left: Operand, right: Operand, values: Values, known: frozenset[str]) -> bool | None:
    a, b = _value(left, values, known), _value(right, values, known)
    if a is None or b is None:
        return None
    match symbol:
        case "==" | "!=":
            return (_identity(a) == _identity(b)) is (symbol == "==")
        case _:
            return _ORDER[symbol](_number(a), _number(b))


def _value(operand: Operand, values: Values, known: frozenset[str]) -> ParamValue | None:
    match operand:
        case Literal(value):
            return value
        case Name(name):
            if name in values:
                return values[name]
            return None if name in known else name
        case Arithmetic(symbol, left, right):
            a, b = _value(left, values, known), _value(right, values, known)
            return None if a is None or b is None else _compute(symbol, _number(a), _number(b))


def _compute(symbol: Operation, left: float, right: float) -> float:
    """NaN where there is no result: it is neither above nor below anything, nor equal to it."""
    try:
        result = _RESULT[symbol](float(left), float(right))  # whole numbers could grow without end
    except (ZeroDivisionError, OverflowError):
        return math.nan
    return math.nan if isinstance(result, complex) else result


def _number(value: ParamValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpaceError(f"sizes and sums are of numbers, but got {value}. Use == or in for anything else.")
    return value


def _identity(value: ParamValue) -> tuple[bool, ParamValue]:
    """Equal for equal values, but `true` is not 1."""
    return isinstance(value, bool), value


def _all(truths: Sequence[bool | None]) -> bool | None:
    if False in truths:
        return False
    return None if None in truths else True


def _any(truths: Sequence[bool | None]) -> bool | None:
    if True in truths:
        return True
    return None if None in truths else False


def _opposite(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_RESULT: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
