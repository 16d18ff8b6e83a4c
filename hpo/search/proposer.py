"""What proposes: the seam between a study, which remembers, and a search, which learns."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection

from hpo.records import End
from hpo.search.beliefs import Belief
from hpo.search.cube import Cube
from hpo.search.distributions import Stored
from hpo.search.shape import Shape


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is searched, as a search needs to know it."""

    shape: Shape
    """Which params a trial has."""
    beliefs: Mapping[str, Belief] = field(default_factory=dict)
    """Where good values are expected, by name."""
    direction: StudyDirection
    """Which way values are better."""
    others: Mapping[str, StudyDirection] = field(default_factory=dict)
    """Which way further metrics are better, by the name under which the end of a trial holds them."""
    max_epochs: int
    """At which a trial is complete."""
    seed: int
    """Of all proposals."""

    @property
    def directions(self) -> list[StudyDirection]:
        """Of all metrics, the main one first."""
        return [self.direction, *self.others.values()]

    def reached(self, end: End) -> list[float]:
        """The metrics of a complete trial, in that order."""
        assert end.value is not None  # a study takes no complete trial that lacks one
        return [end.value, *(end.metrics[name] for name in self.others)]

    def costs(self, end: End) -> list[float]:
        """The same, turned so that lower is better."""
        signs = [-1.0 if direction is StudyDirection.MAXIMIZE else 1.0 for direction in self.directions]
        return [sign * value for sign, value in zip(signs, self.reached(end), strict=True)]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Of the params, sorted by name."""
        return self.shape.distributions

    @cached_property
    def cube(self) -> Cube:
        """The same as a cube."""
        return Cube(self.distributions, self.shape)


class Proposer(Protocol):
    """Is shown the same trials as the database, in the same order; the number of a trial is its place in that order.

    A proposal is a function of the trials and the seed, so that a study loaded again proposes what it would have.
    """

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """The params of the next trial, which runs from now on; those of `point` are given, the others proposed.

        Args:
            point: by name; may be empty.
            waiting: trials that have not ended and do not train now.
        """
        ...

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs."""
        ...

    def skip(self) -> None:
        """A trial that nothing is known of."""
        ...

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """A trial measured this."""
        ...

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """A trial has ended, with these values by epoch."""
        ...


@runtime_checkable
class Foresight(Protocol):
    """A proposer that knows what going on with a trial promises."""

    def gains(self, waiting: Mapping[int, int]) -> tuple[dict[int, float], float]:
        """What every waiting trial promises, and what a new one does; see `CurveSearch.gains`.

        Args:
            waiting: trial_id -> epochs behind it.
        """
        ...
