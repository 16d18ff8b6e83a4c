"""How conditions and constraints are written: a small part of Python's grammar, of which nothing is ever run."""

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache

from hpo.errors import SpaceError
from hpo.spaces.expressions import (
    All,
    Among,
    Any,
    Arithmetic,
    Compare,
    Expression,
    Literal,
    Name,
    Not,
    Operand,
    Operation,
    Relation,
)

LONGEST = 1000
"""Characters of an expression."""

_RELATIONS: Mapping[type[ast.cmpop], Relation] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_OPERATIONS: Mapping[type[ast.operator], Operation] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}
_RULE = "an expression is written like optimizer.kind == adamw, mix in [mixup, cutmix] or width * batch_size <= 1e6"


@lru_cache(4096)
def parse(text: str) -> Expression:
    """The expression that `text` writes.

    Raises:
        SpaceError: if it is not one.
    """
    if len(text) > LONGEST:
        raise SpaceError(f"an expression has at most {LONGEST} characters, but got {len(text)}. Shorten it.")
    try:
        return _expression(ast.parse(text.strip(), mode="eval").body)
    except SpaceError as error:
        raise SpaceError(f"{_RULE}, but got {text}: {error}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SpaceError(f"{_RULE}, but got {text}. Quote a word that has other signs than letters.") from None


def _expression(node: ast.expr) -> Expression:
    match node:
        case ast.BoolOp(op=op, values=nodes):
            parts = tuple(map(_expression, nodes))
            return All(parts) if isinstance(op, ast.And) else Any(parts)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return Not(_expression(part))
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() as op], comparators=[ast.List(elts=choices)]):
            found = Among(_operand(left), tuple(map(_operand, choices)))
            return Not(found) if isinstance(op, ast.NotIn) else found
        case ast.Compare(left=first, ops=ops, comparators=rights):
            lefts = [first, *rights[:-1]]
            chain = tuple(_comparison(op, left, right) for op, left, right in zip(ops, lefts, rights, strict=True))
            return chain[0] if len(chain) == 1 else All(chain)
    raise SpaceError(f"{ast.unparse(node)} compares nothing. Use ==, !=, <, <=, >, >= or in.")


def _comparison(op: ast.cmpop, left: ast.expr, right: ast.expr) -> Compare:
    if type(op) not in _RELATIONS:
        raise SpaceError(f"{ast.unparse(right)} follows no comparison. Use ==, !=, <, <=, >, >=, or in with a list.")
    return Compare(_RELATIONS[type(op)], _operand(left), _operand(right))


def _operand(node: ast.expr) -> Operand:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return Literal(value)
        case ast.Name(id="true" | "false" as word):
            return Literal(word == "true")
        case ast.Name() | ast.Attribute():
            return Name(_dotted(node))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return Literal(-value)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return Arithmetic(_OPERATIONS[type(op)], _operand(left), _operand(right))
        case ast.List(elts=nodes):
            return Literal(_whole_numbers(nodes))
    raise SpaceError(f"{ast.unparse(node)} is no value. Use params, numbers, words and + - * / **.")


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=owner, attr=name):
            return f"{_dotted(owner)}.{name}"
    raise SpaceError(f"{ast.unparse(node)} is no path of a param. Write it dotted, as optimizer.kind.")


def _whole_numbers(nodes: Sequence[ast.expr]) -> tuple[int, ...]:
    numbers = tuple(node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is int)
    if not numbers or len(numbers) < len(nodes):
        raise SpaceError("a list that is a value holds whole numbers. Use `in` for one of several words.")
    return numbers
