"""Rules that hold between a sampler and the space: what it cannot search is refused."""

import math

from hpo.errors import Problem
from hpo.search.samplers import Cmaes, Coordinate, Grid, Sampler
from hpo.spaces.domain import Choice, Domain, LogUniform, QUniform, RandInt
from hpo.spaces.space import Space

MOST_LISTED = 100_000
"""Combinations of a grid."""


def sampler_problems(sampler: Sampler, space: Space, num_trials: int) -> list[Problem]:
    """A grid must have values to list, evolution numbers to change, and a factor something that it multiplies."""
    match sampler:
        case Grid() if space:
            return _grid_problems(space, num_trials)
        case Cmaes() if space and all(isinstance(domain, Choice) for domain in space.values()):
            message = (
                "cmaes needs a domain that is a number, but the space holds only choices, which it would draw at "
                "random. Use sampler: {kind: tpe} or {kind: grid}."
            )
            return [Problem(key="sampler.kind", message=message)]
        case Coordinate() if _has_idle_factor(sampler, space):
            message = (
                f"must be left out where no domain is a loguniform, along which it steps, but got {sampler.factor:g}. "
                "Drop it: along other numbers steps are shares of the range."
            )
            return [Problem(key="sampler.factor", message=message)]
        case _:
            return []


def _has_idle_factor(sampler: Coordinate, space: Space) -> bool:
    is_default = sampler.factor == Coordinate().factor
    return not is_default and not any(isinstance(domain, LogUniform) for domain in space.values())


def _grid_problems(space: Space, num_trials: int) -> list[Problem]:
    nums = {path: _num_values(domain) for path, domain in space.items()}
    endless = [path for path, num in nums.items() if num is None]
    if endless:
        message = (
            "must have values that can be listed with sampler.kind grid, but any number between two bounds is one. "
            "Use choice(...), randint(...) or quniform(...), or another sampler."
        )
        return [Problem(key=f"space.{path}", message=message) for path in endless]
    size = math.prod(num for num in nums.values() if num is not None)
    if size > MOST_LISTED:
        message = f"grid lists at most {MOST_LISTED} combinations, but the space has {size}. Use qmc, or fewer values."
        return [Problem(key="sampler.kind", message=message)]
    if num_trials > size:
        message = (
            f"must be at most the size of the grid, which is {size}, but got {num_trials}: every combination is tried "
            "once. Lower it, or widen the space."
        )
        return [Problem(key="budget.trials", message=message)]
    return []


def _num_values(domain: Domain) -> int | None:
    match domain:
        case Choice():
            return len(domain.values)
        case RandInt():
            return domain.max - domain.min + 1
        case QUniform():
            return round((domain.max - domain.min) / domain.q) + 1
        case _:
            return None
