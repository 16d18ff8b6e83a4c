"""Params near those of a parent, and anywhere: how a child's come about."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np

from hpo.records import Params, ParamValue
from hpo.search.cube import Cube
from hpo.search.distributions import decode, distribution_of
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
from hpo.spaces.values import is_number

_Number = Uniform | LogUniform | QUniform | QLogUniform | RandInt | LogRandInt | QRandInt


def explored(
    space: Mapping[str, Domain],
    conditions: Conditions,
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
        conditions: which params a trial has; what the parent did not have is drawn anew.
        params: of the parent.
        resample: chance of the latter.
        factor: by which, or by one over which, a number is moved; each as likely.
        generator: of all draws.
        may_be: whether a child may have such params; where it may not, a param stays as it was.
    """
    anew = _drawn(space, generator)
    values = {**anew, **{path: params[path] for path in space if path in params}}
    for path in conditions.order:
        by = factor if generator.random() < 0.5 else 1 / factor
        new = anew[path] if generator.random() < resample else moved(space[path], values[path], by)
        changed = conditions.present({**values, path: new})
        if conditions.allow(changed) and may_be(changed):
            values[path] = new
    return conditions.present(values)


def moved(domain: Domain, value: ParamValue, by: float) -> ParamValue:
    """`value` times `by`, within the bounds; where there are steps, by one at least, upwards if `by` is above 1.

    Of values in order, and of a choice of numbers that rise, it is the neighbour; any other choice stays.
    """
    match domain:
        case Uniform() | LogUniform():
            return _clipped(domain, _number(value) * by)
        case QUniform(q=step) | QLogUniform(q=step) | QRandInt(q=step):
            return _clipped(domain, _number(value) + step * _num_steps(value, by, step))
        case RandInt() | LogRandInt():
            return _clipped(domain, _number(value) + _num_steps(value, by, 1))
        case Ordinal(values=values):
            return _neighbour(values, value, by)
        case Choice(values=values):
            return _neighbour(values, value, by) if _rise(values) else value
        case Constant():
            return value


def _drawn(space: Mapping[str, Domain], generator: Random) -> Params:
    """A value for every param, whether a trial would have it or not."""
    searched = {path: domain for path, domain in space.items() if not isinstance(domain, Constant)}
    constants = {path: domain.value for path, domain in space.items() if isinstance(domain, Constant)}
    cube = Cube({path: distribution_of(domain) for path, domain in searched.items()})
    stored = cube.params(np.array([generator.random() for _ in range(cube.num_axes)]))
    return {**constants, **{path: decode(searched[path], value) for path, value in stored.items()}}


def _clipped(domain: _Number, number: float) -> float:
    return min(max(number, domain.min), domain.max)


def _num_steps(value: ParamValue, by: float, step: float) -> int:
    return round(_number(value) * (by - 1) / step) or (1 if by > 1 else -1)


def _neighbour(values: Sequence[ParamValue], value: ParamValue, by: float) -> ParamValue:
    place = values.index(value) + (1 if by > 1 else -1)
    return values[min(max(place, 0), len(values) - 1)]


def _rise(values: Sequence[ParamValue]) -> bool:
    return all(map(is_number, values)) and list(values) == sorted(values)


def _number(value: ParamValue) -> float:
    assert is_number(value)
    return value
