"""Rules that hold between a sampler and the space: what it cannot search is refused."""

import math

from hpo.errors import Problem
from hpo.search.cube import Cube
from hpo.search.grid import allowed_cells
from hpo.search.samplers import Cmaes, Coordinate, Grid, Sampler
from hpo.search.shape import Shape
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
from hpo.spaces.space import Space

MOST_LISTED = 100_000
"""Combinations of a grid."""


def sampler_problems(sampler: Sampler, conditions: Conditions, space: Space, num_trials: int) -> list[Problem]:
    """A grid must have values to list, evolution numbers to change, and a factor something that it multiplies."""
    match sampler:
        case Grid() if space:
            return [*_grid_problems(space, conditions, num_trials), *_prior_problems(space)]
        case Cmaes() if space and all(isinstance(domain, Choice | Constant) for domain in space.values()):
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
    return not is_default and not any(
        isinstance(domain, LogUniform | LogRandInt | QLogUniform) for domain in space.values()
    )


def _grid_problems(space: Space, conditions: Conditions, num_trials: int) -> list[Problem]:
    nums = {path: _num_values(domain) for path, domain in space.items()}
    endless = [path for path, num in nums.items() if num is None]
    if endless:
        return [Problem(key=f"space.{path}", message=_endless(space[path])) for path in endless]
    size = math.prod(num for num in nums.values() if num is not None)
    if size > MOST_LISTED:
        message = f"grid lists at most {MOST_LISTED} combinations, but the space has {size}. Use qmc, or fewer values."
        return [Problem(key="sampler.kind", message=message)]
    if not conditions.is_free and num_trials <= size:
        shape = Shape(space, conditions)
        size = len(allowed_cells(Cube(shape.distributions, shape)))
    if num_trials > size:
        message = (
            f"must be at most the size of the grid, which is {size}, but got {num_trials}: every combination is tried "
            "once. Lower it, or widen the space."
        )
        return [Problem(key="budget.trials", message=message)]
    return []


def _endless(domain: Domain) -> str:
    """Why a grid cannot list a domain."""
    rule = "must have values that can be listed with sampler.kind grid, but"
    if isinstance(domain, Uniform | LogUniform):
        advice = "Use choice(...), ordinal(...), randint(...) or quniform(...), or another sampler."
        return f"{rule} any number between two bounds is one. {advice}"
    advice = "Use ordinal(...) of some of them, or another sampler."
    return f"{rule} those of {domain.distribution} are not steps of equal size, which a grid needs. {advice}"


def _prior_problems(space: Space) -> list[Problem]:
    message = "has no effect with sampler.kind grid, which tries every combination. Delete it, or use another sampler."
    priors = [path for path, domain in space.items() if not isinstance(domain, Constant) and domain.prior is not None]
    return [Problem(key=f"space.{path}.prior", message=message) for path in priors]


def _num_values(domain: Domain) -> int | None:
    match domain:
        case Constant():
            return 1
        case Choice() | Ordinal():
            return len(domain.values)
        case RandInt():
            return domain.max - domain.min + 1
        case QUniform() | QRandInt():
            return round((domain.max - domain.min) / domain.q) + 1
        case _:
            return None
