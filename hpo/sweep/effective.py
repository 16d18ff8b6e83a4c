"""Rules for the effective coordinates of a space."""

from collections.abc import Iterator
from operator import itemgetter

from pydantic import ValidationError

from hpo.errors import Problem, SpaceError
from hpo.spaces import Domain
from hpo.spaces.coordinates import COORDINATES, PREFIX, Coordinate, to_raw
from hpo.spaces.space import Space
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.values import shown
from hpo.sweep.cases import Case, Cases
from hpo.sweep.rules import kind_variants
from hpo.sweep.wording import listed
from hpo.training.recipe import Recipe, flatten, kinds_of

LEAST_LR, GREATEST_LR = 1e-5, 10.0
"""Raw rates beyond these are taken for a mistake."""
ON_RATE = ("optimizer.momentum", f"{PREFIX}one_minus_momentum", "batch_size", f"{PREFIX}lr")
"""Paths on which the raw rate depends."""


def coordinate_problems(recipe: Recipe, space: Space) -> list[Problem]:
    """Every coordinate must exist for every optimizer that is searched, and hold numbers."""
    found = ((path, _problem(recipe, space, path)) for path in space if path.startswith(PREFIX))
    return [Problem(key=f"space.{path}", message=message) for path, message in found if message]


def rate_problems(cases: Cases) -> Iterator[Problem]:
    """The raw rate must be a sensible one at every corner of a space that is without other mistakes."""
    path = f"{PREFIX}lr"
    if path not in cases.space:
        return
    rates = [(_rate(case), case) for case in cases.of(*ON_RATE, "optimizer.kind", having=(path,))]
    for rate, case in (min(rates, key=itemgetter(0)), max(rates, key=itemgetter(0))) if rates else ():
        if not LEAST_LR <= rate <= GREATEST_LR:
            where = ", ".join(f"{name} {case[name]:g}" for name in ON_RATE if name in case and name in cases.space)
            message = (
                f"must come to optimizer.lr from {LEAST_LR:g} to {GREATEST_LR:g} everywhere in the space, but comes to "
                f"{rate:.3g} at {where}. Narrow one of these."
            )
            yield Problem(key=f"space.{path}", message=message)


def _problem(recipe: Recipe, space: Space, path: str) -> str | None:
    if path not in COORDINATES:
        guess = did_you_mean(path, COORDINATES) or did_you_mean(path.removeprefix(PREFIX), COORDINATES)
        return f"must be one of {', '.join(COORDINATES)}, but there is no such coordinate.{guess}"
    return _kind_problem(recipe, space, path) or _value_problem(space[path], COORDINATES[path])


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


def _rate(case: Case) -> float:
    effective = {path: value for path, value in case.items() if path in COORDINATES}
    return to_raw(effective, case, num_train=1)["optimizer.lr"]
