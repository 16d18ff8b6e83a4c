"""Which values trials may have together, by conditions and constraints."""

import itertools
import math
from collections.abc import Iterator, Mapping
from enum import Enum

from hpo.records import ParamValue
from hpo.spaces.conditions import Conditions
from hpo.spaces.domain import Choice, Constant, Domain, Ordinal

MOST_CORNERS = 4096
"""Combinations of values that are tried of what conditions and constraints speak of."""


class Presence(Enum):
    """What may be asked of a param in place of a value."""

    ABSENT = "absent"
    """Trials do not have it."""
    PRESENT = "present"
    """They have it, with whatever value."""


Wanted = Mapping[str, ParamValue | Presence]
"""What is asked of trials, by path."""


def may_be(space: Mapping[str, Domain], conditions: Conditions, wanted: Wanted) -> bool:
    """Whether some trial is as `wanted`; true wherever conditions and constraints do not rule it out for certain.

    Beside what is wanted, choices that these speak of are tried at all their values; numbers are taken to be whatever
    helps, one comparison at a time.
    """
    order = [path for path in conditions.order if path in conditions.linked(wanted)]
    tried = dict(_corner_values(space, order, wanted))
    corners = (dict(zip(tried, corner, strict=True)) for corner in itertools.product(*tried.values()))
    return any(_is_open(conditions, order, {**corner, **wanted}, wanted) for corner in corners)


def _corner_values(
    space: Mapping[str, Domain], order: list[str], wanted: Wanted
) -> Iterator[tuple[str, tuple[ParamValue, ...]]]:
    """The choices among what is not wanted, as many of them as their combinations are few."""
    num_corners = 1
    for path in order:
        domain = space[path]
        if path not in wanted and isinstance(domain, Choice | Ordinal | Constant):
            num_corners = math.prod([num_corners, len(domain.ends())])
            if num_corners > MOST_CORNERS:
                return
            yield path, domain.ends()


def _is_open(conditions: Conditions, order: list[str], corner: Wanted, wanted: Wanted) -> bool:
    """Whether a trial may be as `corner` says; what that does not say, or says of what it may lack, is not known."""
    values: dict[str, ParamValue] = {}
    unknown: set[str] = set()
    for path in order:
        value = corner.get(path, Presence.PRESENT)
        has = conditions.may_have(path, values, unknown)
        if path in wanted and has is (value is Presence.ABSENT):
            return False
        if has is False or value is Presence.ABSENT:
            continue
        if isinstance(value, Presence) or (has is None and path not in wanted):
            unknown.add(path)
        else:
            values[path] = value
    return conditions.allow(values)
