"""What a study is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from optuna.study import StudyDirection

from hpo.config import JsonTree
from hpo.errors import SpaceError
from hpo.records import End, Goal, Params
from hpo.search.beliefs import beliefs_of
from hpo.search.proposer import Problem
from hpo.search.samplers import Sampler
from hpo.search.shape import Shape
from hpo.spaces import Domain
from hpo.spaces.conditions import Conditions


@dataclass(frozen=True, kw_only=True)
class Search:
    """The terms on which a study proposes and remembers."""

    space: Mapping[str, Domain]
    """Dotted recipe path -> domain."""
    metric: str
    """The name under which reports hold the objective."""
    goal: Goal
    """Which way it is better."""
    others: Mapping[str, Goal] = field(default_factory=dict)
    """Further metrics that are searched for at once, by name, and which way they are better."""
    max_epochs: int
    """At which a trial is complete."""
    sampler: Sampler
    """Proposes params."""
    seed: int
    """Of all proposals."""
    constraints: Sequence[str] = ()
    """Each holds for every trial."""
    fixed: Params = field(default_factory=dict)
    """What constraints may speak of beside params."""
    points: Sequence[Params] = ()
    """Tried first; what a point leaves open is proposed."""
    derive: Callable[[Params], Params] = lambda _: {}
    """What else follows from the proposed values: kept with a trial's params, but nothing to learn from."""

    @property
    def directions(self) -> list[StudyDirection]:
        """The goals, as Optuna says them."""
        return [_direction(goal) for goal in (self.goal, *self.others.values())]

    def reached(self, end: End) -> dict[str, float | None]:
        """What a trial ended with, by metric; none where that was not measured."""
        return {self.metric: end.value} | {name: end.metrics.get(name) for name in self.others}

    @property
    def origin(self) -> JsonTree:
        """What must not change while a study lives."""
        space = {path: domain.as_tree() for path, domain in self.space.items()}
        others = {name: goal.value for name, goal in self.others.items()}
        return (
            {"space": space, "metric": self.metric, "goal": self.goal.value}
            | ({"others": others} if others else {})
            | ({"constraints": list(self.constraints)} if self.constraints else {})
        )

    @property
    def shape(self) -> Shape:
        """Which params a trial has."""
        return Shape(self.space, Conditions(self.space, self.constraints, self.fixed))

    @property
    def problem(self) -> Problem:
        """The same for a sampler."""
        return Problem(
            shape=self.shape,
            beliefs=beliefs_of(self.space),
            direction=_direction(self.goal),
            others={name: _direction(goal) for name, goal in self.others.items()},
            max_epochs=self.max_epochs,
            seed=self.seed,
        )

    def check_points(self) -> None:
        """Hold every point against the space.

        Raises:
            SpaceError: if one lies outside it.
        """
        for number, point in enumerate(self.points):
            for path, value in point.items():
                domain = self.space.get(path)
                if domain is None or not domain.contains(value):
                    raise SpaceError(
                        f"points[{number}].{path}: must lie in the space, but {value} does not lie in "
                        f"{domain if domain is not None else 'it'}. Change the point, or widen the space."
                    )


def _direction(goal: Goal) -> StudyDirection:
    return StudyDirection.MAXIMIZE if goal is Goal.MAXIMIZE else StudyDirection.MINIMIZE
