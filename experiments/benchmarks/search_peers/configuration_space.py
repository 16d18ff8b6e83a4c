"""Spaces in the words of ConfigSpace, for SMAC and DEHB."""

from collections.abc import Mapping
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
from ConfigSpace.hyperparameters import Hyperparameter


def as_space(space: Mapping[str, Mapping[str, Any]]) -> ConfigurationSpace:
    return ConfigurationSpace({name: _as_hyperparameter(name, domain) for name, domain in space.items()})


def as_params(config: Mapping[str, Any]) -> dict[str, Any]:
    """Plain numbers, which JSON can hold."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in dict(config).items()}


def _as_hyperparameter(name: str, domain: Mapping[str, Any]) -> Hyperparameter:
    match domain["distribution"]:
        case "uniform" | "loguniform" as kind:
            return Float(name, (domain["min"], domain["max"]), log=kind == "loguniform")
        case "randint":
            return Integer(name, (domain["min"], domain["max"]))
        case _:
            return Categorical(name, domain["values"])
