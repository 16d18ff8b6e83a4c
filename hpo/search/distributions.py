"""Our domains as Optuna's distributions, and values there and back."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.records import ParamValue
from hpo.spaces.domain import Choice, Domain, LogUniform, QUniform, RandInt, Uniform

Stored = bool | int | float | str
"""A value as Optuna keeps it."""


def distribution_of(domain: Domain) -> BaseDistribution:
    """What Optuna draws from."""
    match domain:
        case Uniform():
            return FloatDistribution(domain.min, domain.max)
        case LogUniform():
            return FloatDistribution(domain.min, domain.max, log=True)
        case QUniform():
            return FloatDistribution(domain.min, float(_on_grid(domain, domain.max)), step=domain.q)
        case RandInt():
            return IntDistribution(domain.min, domain.max)
        case Choice():
            return CategoricalDistribution([encode(domain, value) for value in domain.values])


def encode(domain: Domain, value: ParamValue) -> Stored:
    """`value`, which lies in `domain`, as Optuna keeps it."""
    match domain:
        case Choice() if not _is_plain(domain):
            return json.dumps(value)
        case _:
            assert not isinstance(value, tuple)
            return value


def decode(domain: Domain, stored: Stored) -> ParamValue:
    """The inverse of `encode`; a value that Optuna drew comes back without its rounding errors."""
    match domain:
        case Uniform() | LogUniform():
            return float(stored)
        case QUniform():
            return min(float(_on_grid(domain, float(stored))), domain.max)
        case RandInt():
            return int(stored)
        case Choice():
            return domain.values[[encode(domain, value) for value in domain.values].index(stored)]


def decode_all(params: Mapping[str, Stored], space: Mapping[str, Domain]) -> dict[str, ParamValue]:
    """The values of one trial, by path."""
    return {path: decode(domain, params[path]) for path, domain in space.items()}


def coordinates(params: dict[str, Stored], distributions: dict[str, BaseDistribution]) -> list[float]:
    """Where `params` lie: numbers from -1 to 1 over their range (its logarithm, where drawn so), choices one-hot."""
    point: list[float] = []
    for name, distribution in sorted(distributions.items()):
        match distribution:
            case CategoricalDistribution():
                point += [float(choice == params[name]) for choice in distribution.choices]
            case FloatDistribution() | IntDistribution():
                ends_and_here = (distribution.low, distribution.high, float(params[name]))
                low, high, here = map(math.log, ends_and_here) if distribution.log else ends_and_here
                point.append(2 * (here - low) / (high - low) - 1)
    return point


def _on_grid(domain: QUniform, value: float) -> Decimal:
    """The grid point next to `value`; in decimals, for 3 * 0.05 is 0.15 only there."""
    num_steps = round((value - domain.min) / domain.q)
    return Decimal(repr(domain.min)) + num_steps * Decimal(repr(domain.q))


def _is_plain(domain: Choice) -> bool:
    """Whether Optuna can tell the choices apart: it knows no lists, and takes true for 1."""
    kinds = {type(value) for value in domain.values}
    return kinds <= {int, float} or kinds in ({str}, {bool})
