"""The search space: dotted recipe paths and their domains."""

from hpo.spaces.domain import Choice, Domain, LogUniform, QUniform, RandInt, Uniform
from hpo.spaces.space import Space, parse_space

__all__ = ["Choice", "Domain", "LogUniform", "QUniform", "RandInt", "Space", "Uniform", "parse_space"]
