"""What a report is told of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel

from hpo.config import JsonTree
from hpo.records import Goal, TrialRecord
from hpo.results.finalists import Finalist
from hpo.spaces import Domain


class ToldScore(BaseModel):
    """What predictions are worth."""

    nll: float
    accuracy: float


class ToldMember(BaseModel):
    """Of an ensemble."""

    trial_id: int
    epoch: int
    weights: Literal["raw", "averaged"]
    """Of the last step, or their average."""
    weight: float
    repeats: int | None = None


class ToldStep(BaseModel):
    """An ensemble on the way to the one that was selected."""

    num_members: int
    nll: float


class ToldSingle(BaseModel):
    """The best single network."""

    trial_id: int
    val_nll: float
    held_out: ToldScore


class ToldEnsemble(BaseModel):
    """An ensemble, as the file that was left with the sweep tells of it."""

    ensemble: Mapping[str, object]
    averaged: str
    """Probabilities or, of a soup, weights."""
    members: tuple[ToldMember, ...]
    path: tuple[ToldStep, ...]
    """Pick after pick; empty where all were weighed at once."""
    held_out: ToldScore
    best_single: ToldSingle
    temperature: float


class Importance(Protocol):
    """How much of who is good one param decides."""

    @property
    def path(self) -> str: ...
    @property
    def share(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Bin(Protocol):
    """Examples on which predictions are about as confident."""

    @property
    def confidence(self) -> float: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def num_examples(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A sweep, as it stood when it was written about."""

    sweep_id: str
    state: str
    """Whether it runs, has finished, ..., in a word or two."""
    ended: str | None
    """Why it is at its end, if it is."""
    written: str
    """When that was, as it is to be read."""
    goals: Mapping[str, Goal]
    """Which way each metric is better, the main one first."""
    max_epochs: int
    """Full length of a trial."""
    space: Mapping[str, Domain]
    optimizer: str | None
    """The kind that trials have where none is searched; none where training is the user's own."""
    trials: Sequence[TrialRecord]
    """All of them, repetitions too."""
    num_epochs: int
    """Trained, over all trials."""
    elapsed_s: float
    finalists: Sequence[Finalist] = ()
    """Those that have all their repetitions behind them, the best first."""
    ensemble: ToldEnsemble | None = None
    reliability: Sequence[Bin] = ()
    """Of the ensemble on validation examples, the least confident first; nothing where that cannot be said."""
    finalized: JsonTree | None = None
    """What everything was worth on the test split, where that was opened."""
    importances: Sequence[Importance] = ()
    """Of params, the most important first."""
    advice: Sequence[str] = ()
    """A sentence or two each."""

    @property
    def metric(self) -> str:
        """What trials are compared by."""
        return next(iter(self.goals))

    @property
    def goal(self) -> Goal:
        """Which way it is better."""
        return self.goals[self.metric]

    @property
    def searched(self) -> list[TrialRecord]:
        """Its trials without repetitions."""
        return [trial for trial in self.trials if trial.repeats is None]
