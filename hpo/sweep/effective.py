"""Rules for the effective coordinates of a space."""

import itertools
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from hpo.errors import Problem, SpaceError
from hpo.records import ParamValue
from hpo.spaces import Domain
from hpo.spaces.coordinates import COORDINATES, PREFIX, Coordinate, to_raw
from hpo.spaces.space import Space
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.values import shown
from hpo.sweep.rules import kind_variants
from hpo.sweep.wording import listed
from hpo.training.recipe import Recipe, flatten, kinds_of

LEAST_LR, GREATEST_LR = 1e-5, 10.0
"""Raw rates beyond these are taken for a mistake."""
ON_RATE = ("optimizer.momentum", f"{PREFIX}one_minus_momentum", "batch_size", f"{PREFIX}lr")
"""Paths on which the raw rate depends."""


def coordinate_problems(recipe: Recipe, space: Space) -> list[Problem]:
    """Every coordinate must exist for every optimizer that is searched, alone set its raw value, and hold numbers."""
    found = ((path, _problem(recipe, space, path)) for path in space if path.startswith(PREFIX))
    return [Problem(key=f"space.{path}", message=message) for path, message in found if message]


def rate_problems(recipe: Recipe, space: Space) -> Iterator[Problem]:
    """The raw rate must be a sensible one at every corner of a space that is without other mistakes."""
    path = f"{PREFIX}lr"
    if path not in space:
        return
    rates = [rate for variant in kind_variants(recipe, space, path) for rate in _rates(variant, space)]
    for rate, corner in (min(rates, key=lambda pair: pair[0]), max(rates, key=lambda pair: pair[0])):
        if not LEAST_LR <= rate <= GREATEST_LR:
            where = ", ".join(f"{name} {value:g}" for name, value in corner.items())
            message = (
                f"must come to optimizer.lr from {LEAST_LR:g} to {GREATEST_LR:g} everywhere in the space, but comes to "
                f"{rate:.3g} at {where}. Narrow one of these."
            )
            yield Problem(key=f"space.{path}", message=message)


def _problem(recipe: Recipe, space: Space, path: str) -> str | None:
    if path not in COORDINATES:
        guess = did_you_mean(path, COORDINATES) or did_you_mean(path.removeprefix(PREFIX), COORDINATES)
        return f"must be one of {', '.join(COORDINATES)}, but there is no such coordinate.{guess}"
    coordinate = COORDINATES[path]
    if coordinate.raw in space:
        return f"must not be searched beside {coordinate.raw}, which it sets. Drop one of the two."
    return _kind_problem(recipe, space, path) or _value_problem(space[path], coordinate)


def _kind_problem(recipe: Recipe, space: Space, path: str) -> str | None:
    coordinate = COORDINATES[path]
    try:
        variants = kind_variants(recipe, space, path)
    except (SpaceError, ValidationError):
        return None  # the searched kind itself is wrong, and is reported at its own path
    without = [variant.optimizer.kind for variant in variants if not coordinate.is_defined(flatten(variant.as_tree()))]
    if not without:
        return None
    name = coordinate.raw.rpartition(".")[2]
    owners = [kind for kind, config in kinds_of("optimizer").items() if name in config.model_fields]
    return f"is defined for optimizer.kind {listed(coordinate.kinds or owners)}, but not for {listed(without)}. " + (
        f"Search {coordinate.raw} itself, or change the kind." if set(without) <= set(owners) else "Drop it."
    )


def _value_problem(domain: Domain, coordinate: Coordinate) -> str | None:
    rule = "a number above 0" + (f" and at most {coordinate.greatest:g}" if coordinate.greatest < 2 else "")
    for value in domain.ends():
        if isinstance(value, bool | str | tuple) or not 0 < value <= coordinate.greatest:
            return f"every value must be {rule}, but the domain holds {shown(value)}. Change the domain."
    return None


def _rates(recipe: Recipe, space: Space) -> Iterator[tuple[float, Mapping[str, ParamValue]]]:
    """The raw rate at every corner of what it depends on, and the corner."""
    values = flatten(recipe.as_tree())
    paths = [path for path in ON_RATE if path in space]
    for ends in itertools.product(*(space[path].ends() for path in paths)):
        corner = dict(zip(paths, ends, strict=True))
        yield to_raw(corner, values | corner, num_train=1)["optimizer.lr"], corner
