"""Params as Optuna keeps them: which of them a trial has, and what they mean."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import final

from optuna.distributions import BaseDistribution

from hpo.records import ParamValue
from hpo.search.distributions import Stored, decode, distribution_of
from hpo.spaces import Constant, Domain
from hpo.spaces.conditions import Conditions


@final
class Shape:
    """A space and its conditions; constants are kept nowhere, and are there all the same."""

    def __init__(self, space: Mapping[str, Domain], conditions: Conditions) -> None:
        self._space = space
        self._conditions = conditions
        relevant = conditions.spoken_of | conditions.conditional
        self._judged = [path for path in conditions.order if path in relevant]

    @property
    def is_free(self) -> bool:
        """Whether every trial has every param, and any combination is allowed."""
        return self._conditions.is_free

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What is drawn, sorted, so that proposals do not hang on the order in a file."""
        searched = {path: domain for path, domain in sorted(self._space.items()) if not isinstance(domain, Constant)}
        return {path: distribution_of(domain) for path, domain in searched.items()}

    def walk(self, value_of: Callable[[str], Stored]) -> dict[str, Stored]:
        """The params of a trial, each asked for only if the trial has it, those that it depends on first."""
        params: dict[str, Stored] = {}
        self._values(params, value_of)
        return params

    def values(self, params: Mapping[str, Stored]) -> dict[str, ParamValue]:
        """What the params of a trial mean, with its constants, in the order of the file."""
        values = self._values({}, params.__getitem__)
        return {path: values[path] for path in self._space if path in values}

    def allows(self, params: Mapping[str, Stored]) -> bool:
        """Whether the params of a trial break no constraint."""
        return self.is_free or self._conditions.allow(self.values(params))

    def judge(self, value_of: Callable[[str], Stored]) -> tuple[set[str], bool]:
        """The params that a trial does not have, of which all values could be asked for, and whether it is allowed.

        Asks only for what conditions and constraints speak of: for searches that look at many trials.
        """
        values: dict[str, ParamValue] = {}
        absent = set()
        for path in self._judged:
            if not self._conditions.has(path, values):
                absent.add(path)
            elif path in self._conditions.spoken_of:
                domain = self._space[path]
                values[path] = domain.value if isinstance(domain, Constant) else decode(domain, value_of(path))
        return absent, self._conditions.allow(values)

    def is_whole(self, params: Mapping[str, Stored]) -> bool:
        """Whether these are all params of a trial, and no others."""
        try:
            return self.walk(params.__getitem__).keys() == params.keys()
        except KeyError:
            return False

    def _values(self, params: dict[str, Stored], value_of: Callable[[str], Stored]) -> dict[str, ParamValue]:
        """Fills `params`, and returns what they mean."""
        values: dict[str, ParamValue] = {}
        for path in self._conditions.order:
            if not self._conditions.has(path, values):
                continue
            match self._space[path]:
                case Constant(value=value):
                    values[path] = value
                case domain:
                    params[path] = value_of(path)
                    values[path] = decode(domain, params[path])
        return values
