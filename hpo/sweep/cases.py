"""What trials may have together: the values of some settings beside those of others, as far as both occur at once."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from hpo.config import Config, JsonTree
from hpo.errors import SpaceError
from hpo.records import ParamValue
from hpo.spaces import Choice, Constant, Domain, Ordinal, RandInt
from hpo.spaces.conditions import Conditions
from hpo.spaces.coordinates import COORDINATES
from hpo.spaces.possible import Presence, Wanted, may_be
from hpo.spaces.space import Space
from hpo.training.recipe import Recipe, flatten, with_params

Setting = ParamValue | None
Case = Mapping[str, Setting]
"""What a trial has, by dotted path; without those that its kinds do not have."""

MOST_LISTED = 64
"""Whole numbers of a domain that are all tried."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """A sweep's recipe, and what conditions and constraints leave of its space."""

    recipe: Recipe
    space: Space
    conditions: Conditions
    beside: Mapping[str, Config]
    """Sections beside the recipe that have settings too, by name."""

    def may_be(self, wanted: Wanted) -> bool:
        """See `hpo.spaces.possible.may_be`."""
        return may_be(self.space, self.conditions, wanted)

    def of(self, *paths: str, having: Collection[str] = ()) -> Iterator[Case]:
        """What trials have at `paths`, under every kind that is searched of their sections.

        Of a range there are its ends and its middle; of a raw value that an effective coordinate sets, the coordinate.

        Args:
            paths: dotted; of settings, whether searched or not.
            having: params that the trials must have.
        """
        searched = [path for path in dict.fromkeys(_with_kinds(paths)) if path in self.space]
        options = [list(_options(self.space[path], must_have=path in having)) for path in searched]
        trees: dict[tuple[Setting, ...], JsonTree | None] = {}
        for chosen in itertools.product(*options):
            if not self.may_be({path: wish for path, (_, wish) in zip(searched, chosen, strict=True)}):
                continue
            values = {path: value for path, (value, _) in zip(searched, chosen, strict=True) if value is not None}
            kinds = {path: value for path, value in values.items() if path.endswith(".kind")}
            of_kinds = tuple(map(kinds.get, searched))
            tree = trees[of_kinds] if of_kinds in trees else trees.setdefault(of_kinds, self._settings(kinds))
            if tree is not None:
                raw = {COORDINATES[path].raw: value for path, value in values.items() if path in COORDINATES}
                found = {**tree, **raw, **values}
                yield {path: found[path] for path in paths if path in found and (path in tree or path in COORDINATES)}

    def _settings(self, kinds: Mapping[str, ParamValue]) -> JsonTree | None:
        """Of the recipe under these kinds; none where one is wrong, which is reported at its own path."""
        try:
            tree = with_params(self.recipe, kinds).as_tree()
        except (SpaceError, ValidationError):
            return None
        return flatten(tree | {name: config.as_tree() for name, config in self.beside.items()})


def _with_kinds(paths: Collection[str]) -> Iterator[str]:
    """What decides on the values at `paths`."""
    for path in paths:
        yield from (name for name, coordinate in COORDINATES.items() if coordinate.raw == path)
        section = (COORDINATES[path].raw if path in COORDINATES else path).partition(".")[0]
        yield from (f"{section}.kind", path)


def _options(domain: Domain, *, must_have: bool) -> Iterator[tuple[Setting, ParamValue | Presence]]:
    """A value and what to ask for it; none is that of trials which do not have the param."""
    if domain.when is not None and not must_have:
        yield None, Presence.ABSENT
    match domain:
        case RandInt(min=low, max=high) if high - low < MOST_LISTED:
            yield from ((value, value) for value in range(low, high + 1))
        case Choice() | Ordinal() | Constant():
            yield from ((value, value) for value in domain.ends())
        case _:
            yield from ((value, value) for value in (domain.min, domain.max))
            middle = (domain.min + domain.max) / 2
            yield int(middle) if isinstance(domain.min, int) else middle, Presence.PRESENT
