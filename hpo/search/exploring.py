"""Params near those of a parent, and anywhere: how a child's come about."""

from collections.abc import Callable, Mapping
from random import Random

import numpy as np

from hpo.records import Params, ParamValue
from hpo.search.cube import Cube
from hpo.search.distributions import decode_all, distribution_of
from hpo.spaces.domain import Choice, Domain, LogUniform, QUniform, RandInt, Uniform


def explored(
    space: Mapping[str, Domain],
    params: Params,
    *,
    resample: float,
    factor: float,
    generator: Random,
    may_be: Callable[[Params], bool],
) -> Params:
    """`params`, each moved or, with chance `resample`, drawn anew (Jaderberg et al. 2017, section 4.1.2).

    Args:
        space: path -> domain.
        params: of the parent.
        resample: chance of the latter.
        factor: by which, or by one over which, a number is moved; each as likely.
        generator: of all draws.
        may_be: whether a child may have such params; where it may not, a param stays as it was.
    """
    anew = _drawn(space, generator)
    found = {path: params[path] for path in space}
    for path in sorted(space):
        by = factor if generator.random() < 0.5 else 1 / factor
        new = anew[path] if generator.random() < resample else moved(space[path], found[path], by)
        if may_be({**found, path: new}):
            found[path] = new
    return found


def moved(domain: Domain, value: ParamValue, by: float) -> ParamValue:
    """`value` times `by`, within the bounds; where there are steps, by one at least, upwards if `by` is above 1.

    A choice of numbers in rising order moves to a neighbour; any other has none, and stays.
    """
    match domain:
        case Choice(values=values):
            return _neighbour(values, value, by)
        case Uniform() | LogUniform():
            return min(max(_number(value) * by, domain.min), domain.max)
        case QUniform(q=step):
            return min(max(_number(value) + step * _num_steps(value, by, step), domain.min), domain.max)
        case RandInt():
            return min(max(int(_number(value)) + _num_steps(value, by, 1), domain.min), domain.max)


def _drawn(space: Mapping[str, Domain], generator: Random) -> Params:
    cube = Cube({path: distribution_of(domain) for path, domain in space.items()})
    return decode_all(cube.params(np.array([generator.random() for _ in range(cube.num_axes)])), space)


def _neighbour(values: tuple[ParamValue, ...], value: ParamValue, by: float) -> ParamValue:
    numbers = [known for known in values if isinstance(known, int | float) and not isinstance(known, bool)]
    if len(numbers) < len(values) or sorted(numbers) != numbers:
        return value
    place = values.index(value) + (1 if by > 1 else -1)
    return values[min(max(place, 0), len(values) - 1)]


def _num_steps(value: ParamValue, by: float, step: float) -> int:
    return round(_number(value) * (by - 1) / step) or (1 if by > 1 else -1)


def _number(value: ParamValue) -> float:
    assert isinstance(value, int | float)
    return value
