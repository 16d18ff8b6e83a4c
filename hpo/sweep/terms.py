"""What the driver must know of a sweep."""

from typing import Protocol

from hpo.records import Params, TrialRecord, TrialSpec
from hpo.scheduling import Budget
from hpo.spaces.conditions import Conditions
from hpo.spaces.space import Space
from hpo.sweep.choosing import Chosen
from hpo.sweep.metrics import Measure
from hpo.sweep.retries import Retries


class Terms(Protocol):
    """Under which trials are compared and go on; a `Sweep` is one, and a `Simulation` of one another."""

    @property
    def epochs(self) -> int:
        """Full length of a trial."""

    @property
    def space(self) -> Space:
        """What is searched."""

    @property
    def conditions(self) -> Conditions:
        """Which params a trial has."""

    @property
    def metric(self) -> Measure:
        """What trials are compared by."""

    @property
    def chosen(self) -> Chosen:
        """Who trains on, and what proposes."""

    @property
    def budget(self) -> Budget:
        """What may be spent."""

    @property
    def retries(self) -> Retries:
        """What is tried again."""

    @property
    def seed(self) -> int:
        """Goes with every segment."""

    def specify(self, trial: TrialRecord) -> TrialSpec:
        """A trial as a worker sees it."""

    def may_follow(self, params: Params, parent: Params) -> bool:
        """Whether a trial with `params` can go on from the state of one with those of `parent`."""
