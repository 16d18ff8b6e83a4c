"""The search space: dotted recipe paths and their domains."""

from hpo.spaces.domain import Choice, Constant, Domain, Ordinal
from hpo.spaces.numbers import LogRandInt, LogUniform, QLogUniform, QRandInt, QUniform, RandInt, Uniform
from hpo.spaces.space import Space, parse_space

__all__ = [
    "Choice",
    "Constant",
    "Domain",
    "LogRandInt",
    "LogUniform",
    "Ordinal",
    "QLogUniform",
    "QRandInt",
    "QUniform",
    "RandInt",
    "Space",
    "Uniform",
    "parse_space",
]
