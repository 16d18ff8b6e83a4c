"""Which params a trial has, and which combinations of values it may have."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import final

from hpo.errors import SpaceError
from hpo.records import ParamValue
from hpo.spaces.domain import Domain
from hpo.spaces.expressions import Expression, Values, holds, names_in
from hpo.spaces.grammar import parse


@final
class Conditions:
    """The `when` of every domain, and constraints on the whole.

    What is said of a param that a trial does not have is neither true nor false: a condition on it does not hold, and
    a constraint on it does not bind.
    """

    def __init__(
        self,
        space: Mapping[str, Domain],
        constraints: Sequence[str] = (),
        fixed: Values = MappingProxyType({}),
    ) -> None:
        """Read every expression.

        Args:
            space: path -> domain.
            constraints: each must hold for every trial.
            fixed: what constraints may speak of beside params: path -> value.

        Raises:
            SpaceError: if an expression cannot be read, or params depend on each other in a circle.
        """
        self._whens = {path: parse(domain.when) for path, domain in space.items() if domain.when is not None}
        self._constraints = tuple(map(parse, constraints))
        self._fixed = fixed
        self._known = frozenset(space) | frozenset(fixed)
        self.order = _ordered(space, self._whens)
        expressions = (*self._whens.values(), *self._constraints)
        self.spoken_of = frozenset(name for expression in expressions for name in names_in(expression)) & space.keys()

    @property
    def is_free(self) -> bool:
        """Whether every trial has every param, and any combination is allowed."""
        return not self._whens and not self._constraints

    @property
    def conditional(self) -> frozenset[str]:
        """Params that not every trial has."""
        return frozenset(self._whens)

    def has(self, path: str, values: Values) -> bool:
        """Whether a trial with `values` of the params before `path` in `order` has this one."""
        return path not in self._whens or holds(self._whens[path], values, self._known) is True

    def may_have(self, path: str, values: Values, unknown: Collection[str]) -> bool | None:
        """The same, where of the params before it some are `unknown`; none if it hangs on those."""
        truth = holds(self._whens[path], values, self._known) if path in self._whens else True
        if truth is None and any(name in unknown for name in names_in(self._whens[path])):
            return None
        return truth is True

    def linked(self, paths: Iterable[str]) -> frozenset[str]:
        """These params, those on which it hangs whether a trial has them, and what constraints bind to any of them."""
        found: set[str] = set()
        new = set(paths)
        while new - found:
            found |= new
            expressions = [when for path, when in self._whens.items() if path in found]
            bound = (set(names_in(constraint)) for constraint in self._constraints)
            new = {name for expression in expressions for name in names_in(expression)}
            new = (new | {name for names in bound if names & found for name in names}) & set(self.order)
        return frozenset(found)

    def present(self, values: Values) -> dict[str, ParamValue]:
        """Of values of all params, those of the params that a trial has."""
        found: dict[str, ParamValue] = {}
        for path in self.order:
            if path in values and self.has(path, found):
                found[path] = values[path]
        return found

    def allow(self, values: Values) -> bool:
        """Whether no constraint is broken by the values of a whole trial."""
        everything = {**self._fixed, **values}
        return all(holds(constraint, everything, self._known) is not False for constraint in self._constraints)


def _ordered(space: Mapping[str, Domain], whens: Mapping[str, Expression]) -> tuple[str, ...]:
    """Every path behind those that its condition names; otherwise by name."""
    needs = {path: sorted(set(names_in(whens[path])) & space.keys()) if path in whens else [] for path in sorted(space)}
    try:
        sorter = TopologicalSorter(needs)
        sorter.prepare()
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise SpaceError(f"conditions must not go round in a circle, but {circle}. Drop one of them.") from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return tuple(order)
