"""What a study is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from optuna.study import StudyDirection

from hpo.config import JsonTree
from hpo.errors import SpaceError
from hpo.records import Goal, Params
from hpo.search.distributions import distribution_of
from hpo.search.proposer import Problem
from hpo.search.samplers import Sampler
from hpo.spaces.domain import Domain


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
        return {"space": space, "metric": self.metric, "goal": self.goal.value}

    @property
    def problem(self) -> Problem:
        """The same for a sampler; sorted, so that proposals do not hang on the order in a file."""
        return Problem(
            distributions={path: distribution_of(domain) for path, domain in sorted(self.space.items())},
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
