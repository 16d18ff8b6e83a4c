"""What a study is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from optuna.study import StudyDirection

from hpo.config import JsonTree
from hpo.errors import SpaceError
from hpo.records import Goal, Params
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
    def direction(self) -> StudyDirection:
        """The goal, as Optuna says it."""
        return StudyDirection.MAXIMIZE if self.goal is Goal.MAXIMIZE else StudyDirection.MINIMIZE

    @property
    def origin(self) -> JsonTree:
        """What must not change while a study lives."""
        space = {path: domain.as_tree() for path, domain in self.space.items()}
        return {"space": space, "metric": self.metric, "goal": self.goal.value} | (
            {"constraints": list(self.constraints)} if self.constraints else {}
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
            direction=self.direction,
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
