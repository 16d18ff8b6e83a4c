"""For samplers that learn from complete trials only: what the others would likely have reached."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.records import End, EndKind
from hpo.search.distributions import Stored
from hpo.search.drawing import draw
from hpo.search.proposer import Problem
from hpo.search.seeds import derive_seed

Vector = NDArray[np.float64]


@dataclass
class Trial:
    """A trial that was proposed."""

    point: Vector | None
    """Where it lies in the cube; none for one that must not be learnt from."""
    values: dict[int, float] = field(default_factory=dict)
    """By epoch, higher is better."""
    end: EndKind | None = None


def final_values(trials: Sequence[Trial]) -> list[float | None]:
    """What each trial has reached, or would have; none where nothing can be said. Higher is better.

    A stopped trial gets its last value, plus the median gain from that epoch to the end among the trials that went to
    the end: of trials stopped at the same rung the better stays better, and a late stop weighs as much as an early
    one. While none has gone to the end the gain is 0. A diverged trial gets the worst value of all.
    """
    gains = _median_gains(trials)
    reached = [_reached(trial, gains) for trial in trials]
    worst = min((value for value in reached if value is not None), default=None)
    return [worst if trial.end is EndKind.DIVERGED else value for trial, value in zip(trials, reached, strict=True)]


@final
class Hindsight:
    """Proposes with a sampler that is shown every trial that ended as complete, with its `final_values`.

    These change as trials complete, so when one has ended the sampler is shown all of them afresh. A diverged trial
    also violates a constraint, which a sampler may learn from: see `Cautious`.
    """

    def __init__(self, problem: Problem, make_sampler: Callable[[int], BaseSampler]) -> None:
        """A search without trials; `make_sampler` is given a seed, for one proposal."""
        self._problem = problem
        self._cube = problem.cube
        self._distributions = problem.distributions
        self._make_sampler = make_sampler
        self._sign = 1.0 if problem.direction is StudyDirection.MAXIMIZE else -1.0
        self._trials: list[Trial] = []
        self._params: list[Mapping[str, Stored]] = []
        self._shown: _Shown | None = None  # kept until a trial ends

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """See `Proposer`; a trial that waits counts as one that runs."""
        number = len(self._trials)
        sampler = self._make_sampler(derive_seed(self._problem.seed, number))
        if self._shown is None:
            self._shown = self._show_all()
        params = draw(sampler, self._shown.study, self._shown.notes_on, number, self._problem, point)
        self.add(params)
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs; what it does not have lies in the middle."""
        self._trials.append(Trial(point=self._cube.point(params)))
        self._params.append({**self._cube.middle, **params})
        if self._shown is not None:
            self._shown.study.add_trial(self._show(len(self._trials) - 1, None))

    def skip(self) -> None:
        """A trial that nothing is known of."""
        self._trials.append(Trial(point=None, end=EndKind.FAILED))
        self._params.append({})
        self._shown = None

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """See `Proposer`; a trial's values are shown when it has ended."""

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """A trial has ended; one that failed teaches nothing."""
        trial = self._trials[trial_id]
        trial.values = {epoch: self._sign * value for epoch, value in values.items() if math.isfinite(value)}
        trial.end = end.kind
        self._shown = None

    def resume(self, trial_id: int) -> None:
        """See `Proposer`."""
        self._trials[trial_id].end = None
        self._shown = None

    def _show_all(self) -> "_Shown":
        storage = InMemoryStorage()
        study = optuna.create_study(storage=storage, direction=self._problem.direction)
        study.add_trials([self._show(number, value) for number, value in enumerate(final_values(self._trials))])
        return _Shown(study, optuna.create_study(storage=storage).ask()._trial_id)

    def _show(self, number: int, value: float | None) -> FrozenTrial:
        end = self._trials[number].end
        if end is not None and value is None:
            return create_trial(state=TrialState.FAIL)
        constraints = {"diverged": 1.0 if end is EndKind.DIVERGED else -1.0}
        return create_trial(
            state=TrialState.RUNNING if end is None else TrialState.COMPLETE,
            value=None if value is None else self._sign * value,
            params=dict(self._params[number]),
            distributions=self._distributions,
            constraints=None if end is None else constraints,
        )


@dataclass(frozen=True)
class _Shown:
    """To a sampler."""

    study: Study
    notes_on: int
    """A trial of the same storage; see `draw`."""


def _reached(trial: Trial, gains: Mapping[int, float]) -> float | None:
    if not trial.values or trial.end not in (EndKind.COMPLETE, EndKind.STOPPED):
        return None
    epoch = max(trial.values)
    gain = gains.get(epoch, 0.0) if trial.end is EndKind.STOPPED else 0.0
    return trial.values[epoch] + gain


def _median_gains(trials: Sequence[Trial]) -> dict[int, float]:
    """From each epoch to the end, of the trials that went there."""
    gains = defaultdict(list)
    for trial in trials:
        if trial.end is EndKind.COMPLETE and trial.values:
            last = trial.values[max(trial.values)]
            for epoch, value in trial.values.items():
                gains[epoch].append(last - value)
    return {epoch: statistics.median(found) for epoch, found in gains.items()}
