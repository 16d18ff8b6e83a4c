"""For samplers that learn from complete trials only: what the others would likely have reached."""

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.records import End, EndKind
from hpo.search.distributions import Stored
from hpo.search.drawing import draw
from hpo.search.proposer import Problem
from hpo.search.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Past:
    """A trial as it stands."""

    params: Mapping[str, Stored] | None = None
    """Those that it does not have in the middle of their domains; none: nothing is known of it."""
    values: Mapping[int, float] = field(default_factory=dict)
    """By epoch, the finite ones."""
    end: End | None = None
    """None: it runs."""


def final_values(trials: Sequence[Past], direction: StudyDirection) -> list[float | None]:
    """What each trial has reached, or would have; none where nothing can be said.

    A stopped trial gets its last value, plus the median gain from that epoch to the end among the trials that went to
    the end: of trials stopped at the same rung the better stays better, and a late stop weighs as much as an early
    one. While none has gone to the end the gain is 0. A diverged trial gets the worst value of all.
    """
    complete = [trial for trial in trials if trial.end is not None and trial.end.kind is EndKind.COMPLETE]
    reached = [_reached(trial, complete) for trial in trials]
    known = [value for value in reached if value is not None]
    worst = (max if direction is StudyDirection.MINIMIZE else min)(known, default=0.0)
    return [worst if _has_diverged(trial) else value for trial, value in zip(trials, reached, strict=True)]


@final
class Hindsight:
    """Proposes with a sampler that is shown every trial that ended as complete, with its `final_values`.

    These change as trials complete, so the sampler is shown all of them afresh for every proposal. A diverged trial
    also violates a constraint, which a sampler may learn from: see `Cautious`.
    """

    def __init__(self, problem: Problem, make_sampler: Callable[[int], BaseSampler]) -> None:
        """A search without trials; `make_sampler` is given a seed, for one proposal."""
        self._problem = problem
        self._cube = problem.cube
        self._distributions = problem.distributions
        self._make_sampler = make_sampler
        self._trials: list[Past] = []

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """See `Proposer`; a trial that waits counts as one that runs."""
        number = len(self._trials)
        sampler = self._make_sampler(derive_seed(self._problem.seed, number))
        storage = InMemoryStorage()
        study = optuna.create_study(storage=storage, direction=self._problem.direction)
        study.add_trials(self._shown())
        beside = optuna.create_study(storage=storage).ask()
        params = draw(sampler, study, beside._trial_id, number, self._problem, point)
        self.add(params)
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs."""
        self._trials.append(Past(params={**self._cube.middle, **params}))

    def skip(self) -> None:
        """A trial that nothing is known of."""
        self._trials.append(Past())

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """See `Proposer`; a trial's values are shown when it has ended."""

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """A trial has ended; one that failed teaches nothing."""
        finite = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
        self._trials[trial_id] = replace(self._trials[trial_id], values=finite, end=end)

    def _shown(self) -> list[FrozenTrial]:
        values = final_values(self._trials, self._problem.direction)
        return [self._show(trial, value) for trial, value in zip(self._trials, values, strict=True)]

    def _show(self, trial: Past, value: float | None) -> FrozenTrial:
        if trial.params is None or (trial.end is not None and value is None):
            return create_trial(state=TrialState.FAIL)
        constraints = {"diverged": 1.0 if _has_diverged(trial) else -1.0}
        return create_trial(
            state=TrialState.RUNNING if trial.end is None else TrialState.COMPLETE,
            value=value,
            params=dict(trial.params),
            distributions=self._distributions,
            constraints=None if trial.end is None else constraints,
        )


def _reached(trial: Past, complete: Sequence[Past]) -> float | None:
    if trial.end is None:
        return None
    match trial.end.kind:
        case EndKind.COMPLETE:
            return trial.end.value
        case EndKind.STOPPED if trial.values:
            epoch = max(trial.values)
            return trial.values[epoch] + _median_gain(epoch, complete)
        case _:
            return None


def _median_gain(epoch: int, complete: Sequence[Past]) -> float:
    gains = [_value(trial) - trial.values[epoch] for trial in complete if epoch in trial.values]
    return statistics.median(gains) if gains else 0.0


def _value(trial: Past) -> float:
    assert trial.end is not None
    assert trial.end.value is not None  # a study takes no complete trial without
    return trial.end.value


def _has_diverged(trial: Past) -> bool:
    return trial.end is not None and trial.end.kind is EndKind.DIVERGED
