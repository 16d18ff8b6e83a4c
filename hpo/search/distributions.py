"""Our domains as Optuna's distributions, and values there and back."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.records import ParamValue
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
from hpo.spaces.values import identity

Stored = bool | int | float | str
"""A value as Optuna keeps it."""


def distribution_of(domain: Domain) -> BaseDistribution:
    """What Optuna draws from."""
    match domain:
        case Uniform() | LogUniform() | QLogUniform():
            return FloatDistribution(domain.min, domain.max, log=not isinstance(domain, Uniform))
        case QUniform():
            return FloatDistribution(domain.min, float(_on_grid(domain, domain.max)), step=domain.q)
        case RandInt() | LogRandInt():
            return IntDistribution(domain.min, domain.max, log=isinstance(domain, LogRandInt))
        case QRandInt():
            return IntDistribution(domain.min, domain.max, step=domain.q)
        case Ordinal():
            return IntDistribution(0, len(domain.values) - 1)
        case Choice():
            return CategoricalDistribution([encode(domain, value) for value in domain.values])
        case Constant():
            raise AssertionError("a constant is not drawn")


def encode(domain: Domain, value: ParamValue) -> Stored:
    """`value`, which lies in `domain`, as Optuna keeps it."""
    match domain:
        case Ordinal():
            return [identity(known) for known in domain.values].index(identity(value))
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
        case QLogUniform():
            return min(max(float(round(float(stored) / domain.q) * Decimal(repr(domain.q))), domain.min), domain.max)
        case RandInt() | LogRandInt() | QRandInt():
            return int(stored)
        case Ordinal():
            return domain.values[int(stored)]
        case Constant():
            raise AssertionError("a constant is not stored")
        case Choice():
            return domain.values[[encode(domain, value) for value in domain.values].index(stored)]


def coordinates(params: Mapping[str, Stored], distributions: Mapping[str, BaseDistribution]) -> list[float]:
    """Where `params` lie: numbers from -1 to 1 over their range (its logarithm, where drawn so), choices one-hot.

    A number that is not among them lies in the middle, a choice nowhere.
    """
    point: list[float] = []
    for name, distribution in sorted(distributions.items()):
        match distribution:
            case CategoricalDistribution():
                point += [float(name in params and choice == params[name]) for choice in distribution.choices]
            case _ if name not in params:
                point.append(0.0)
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
