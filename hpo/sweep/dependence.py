"""Rules for conditions and constraints: they must speak of params, of values these can take, and make a difference."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

import numpy as np

from hpo.errors import Problem, SpaceError
from hpo.records import Params, ParamValue
from hpo.search.cube import Cube, Points
from hpo.search.distributions import encode
from hpo.search.shape import Shape
from hpo.search.starting import MOST_TRIED
from hpo.spaces import Constant, Domain, Space
from hpo.spaces.conditions import Conditions
from hpo.spaces.expressions import (
    Among,
    Arithmetic,
    Compare,
    Expression,
    Literal,
    Name,
    Operand,
    comparisons_in,
    holds,
    names_in,
)
from hpo.spaces.grammar import parse
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.values import is_number, shown

NUM_DRAWS = 2000
"""Trials drawn at random to see what conditions and constraints make of them."""
LEAST_FOUND = 10
"""Of the most that a proposal draws, trials that must keep to the constraints: with these, one in 20 000 finds none."""
NO_PARAMS: Params = MappingProxyType({})


def dependence_problems(space: Space, constraints: Sequence[str], fixed: Params) -> list[Problem]:
    """Every expression must be readable and of sense, and hold for some trials but not for all.

    Args:
        space: the sweep's.
        constraints: the sweep's.
        fixed: what constraints may speak of beside what is searched.
    """
    texts = {f"space.{path}.when": domain.when for path, domain in space.items() if domain.when is not None}
    readable: dict[str, Expression] = {}
    problems = []
    for key, text in (texts | {f"constraints.{number}": text for number, text in enumerate(constraints)}).items():
        try:
            readable[key] = parse(text)
        except SpaceError as error:
            problems.append(Problem(key=key, message=str(error)))
    for key, expression in readable.items():
        speaks_of = {path: domain.ends() for path, domain in space.items()}
        if not key.startswith("space."):
            speaks_of = {path: (value,) for path, value in fixed.items()} | speaks_of
        problems += [Problem(key=key, message=text) for text in _nonsense(expression, speaks_of, space)]
    if problems or not readable:
        return problems
    try:
        return list(_pointless(space, constraints, fixed))
    except SpaceError as error:  # params that depend on each other in a circle
        return [Problem(key="space", message=str(error))]


def unmet_problems(space: Space, constraints: Sequence[str], fixed: Params, points: Sequence[Params]) -> list[Problem]:
    """No point may set what its trial does not have, or break a constraint; of a space that is without mistakes."""
    return [
        Problem(key=f"points.{number}{key}", message=message)
        for number, point in enumerate(points)
        for key, message in _unmet(space, constraints, fixed, point)
    ]


def num_found(space: Space, constraints: Sequence[str], fixed: Params, point: Params = NO_PARAMS) -> int:
    """Of trials drawn at random, those that keep to all constraints, counted up to `LEAST_FOUND`.

    Args:
        space: the sweep's.
        constraints: the sweep's.
        fixed: what constraints may speak of beside what is searched.
        point: what is given of every trial.
    """
    shape = Shape(space, Conditions(space, constraints, fixed))
    cube = Cube(shape.distributions, shape)
    known = {path: encode(space[path], value) for path, value in point.items() if path in shape.distributions}
    found = (draw for draw in _draws(cube, MOST_TRIED) if shape.allows(cube.params(draw, known)))
    return sum(1 for _ in islice(found, LEAST_FOUND))


def most_at_once(space: Space, conditions: Conditions) -> int:
    """Params that a single trial has at most, constants apart; seen in random trials, where there are conditions."""
    shape = Shape(space, conditions)
    if not conditions.conditional:
        return len(shape.distributions)
    cube = Cube(shape.distributions, shape)
    return max(len(cube.params(draw)) for draw in _draws(cube))


def _unmet(space: Space, constraints: Sequence[str], fixed: Params, point: Params) -> Iterator[tuple[str, str]]:
    constants = {path: domain.value for path, domain in space.items() if isinstance(domain, Constant)}
    for path in point:
        when = space[path].when if path in space else None
        if when is not None and holds(parse(when), {**constants, **point}, frozenset(space)) is not True:
            yield (
                f".{path}",
                f"is had only by trials for which {when}, which the point does not say. Set that, or drop it.",
            )
    if constraints and num_found(space, constraints, fixed, point) == 0:
        said = " and ".join(constraints)
        yield (
            "",
            f"must leave a trial that keeps to {said}, but none of {MOST_TRIED} drawn does. Change one of the two.",
        )


def _nonsense(
    expression: Expression, speaks_of: Mapping[str, Sequence[ParamValue]], space: Mapping[str, Domain]
) -> Iterator[str]:
    unknown = [name for name in names_in(expression) if "." in name and name not in speaks_of]
    for name in unknown:
        yield f"must speak of what is searched, but {name} is not.{did_you_mean(name, speaks_of)}"
    for comparison in comparisons_in(expression) if not unknown else ():
        yield from _nonsense_in(comparison, speaks_of, space)


def _nonsense_in(
    comparison: Compare | Among, speaks_of: Mapping[str, Sequence[ParamValue]], space: Mapping[str, Domain]
) -> Iterator[str]:
    operands = [comparison.left, *(comparison.values if isinstance(comparison, Among) else [comparison.right])]
    named = [operand.name for operand in operands if isinstance(operand, Name) and operand.name in speaks_of]
    counted = [name for operand in operands if isinstance(operand, Arithmetic) for name in _names(operand)]
    if not any(name in speaks_of for name in (*named, *counted)):
        known = ", ".join(sorted(space))
        yield f"must compare what is searched with something, but compares {_words(operands)}. Searched are: {known}."
        return
    numeric = [operand for operand in operands if isinstance(operand, Arithmetic)]
    if isinstance(comparison, Compare) and comparison.symbol not in ("==", "!="):
        counted += [name for operand in operands for name in _names(operand)]
        numeric = operands
    words = [shown(value) for operand in numeric for value in _literals(operand) if not is_number(value)]
    if words:
        yield f"computes with numbers and asks which is greater, but {words[0]} is none. Use == or in."
        return
    for name in dict.fromkeys(counted):
        if name not in speaks_of or not all(map(is_number, speaks_of[name])):
            yield f"computes with numbers and asks which is greater, but {name} is none. Use == or in."
            return
    for path in named if counted == [] else ():
        for operand in operands:
            value = operand.value if isinstance(operand, Literal) else getattr(operand, "name", None)
            if path in space and value is not None and value not in speaks_of and not space[path].contains(value):
                among = ", ".join(map(shown, space[path].ends()))
                yield f"compares {path} with {shown(value)}, which it never is: {among}. Change the condition."


def _pointless(space: Space, constraints: Sequence[str], fixed: Params) -> Iterator[Problem]:
    """What draws say: a condition that holds never or always, a constraint that binds nobody or everybody."""
    shape = Shape(space, Conditions(space))
    cube = Cube(shape.distributions, shape)
    trials = [shape.values(cube.params(draw)) for draw in _draws(cube)]
    for path, domain in space.items():
        num_having = sum(path in trial for trial in trials)
        if domain.when is not None and num_having in (0, NUM_DRAWS):
            never = "never" if num_having == 0 else "always"
            message = f"{never} holds, by {NUM_DRAWS} trials drawn at random: {domain.when}. Change it, or drop it."
            yield Problem(key=f"space.{path}.when", message=message)
    known = frozenset(space) | frozenset(fixed)
    truths = [[holds(parse(text), {**fixed, **trial}, known) is not False for text in constraints] for trial in trials]
    for number, text in enumerate(constraints):
        if all(truth[number] for truth in truths):
            yield Problem(
                key=f"constraints.{number}",
                message=f"binds none of {NUM_DRAWS} trials drawn at random: {text}. Delete it.",
            )
    if constraints and (num_kept := num_found(space, constraints, fixed)) < LEAST_FOUND:
        message = (
            f"must be kept by at least {LEAST_FOUND} of {MOST_TRIED} trials drawn at random, so that every proposal "
            f"finds one, but are kept by {num_kept}. Loosen them, or narrow the space to where they hold."
        )
        yield Problem(key="constraints", message=message)


def _draws(cube: Cube, num: int = NUM_DRAWS) -> Points:
    return np.random.default_rng(0).random((num, cube.num_axes))


def _names(operand: Operand) -> list[str]:
    return list(names_in(operand))


def _literals(operand: Operand) -> Iterator[ParamValue]:
    match operand:
        case Literal(value):
            yield value
        case Arithmetic(_, left, right):
            yield from _literals(left)
            yield from _literals(right)


def _words(operands: Sequence[Operand]) -> str:
    words = [name for operand in operands for name in _names(operand)]
    return " and ".join(words) if words else "values only"
