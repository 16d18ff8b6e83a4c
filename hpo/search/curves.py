"""Search by a model of learning curves: proposes trials, and says what going on with a waiting one promises."""

import math
from collections.abc import Collection, Mapping
from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection

from hpo.records import End, EndKind
from hpo.search.acquisition import maximize
from hpo.search.beliefs import Beliefs, power
from hpo.search.cube import Points
from hpo.search.curve_model import CurveModel, Measurements
from hpo.search.distributions import Stored
from hpo.search.hindsight import Trial
from hpo.search.proposer import Problem
from hpo.search.risk import Risk, learn_risk
from hpo.search.seeds import derive_seed
from hpo.search.starting import completed, starting_point

Vector = NDArray[np.float64]

KNOWN = 1e9
"""Taken off the log of the expected improvement of what is known already."""


@final
class CurveSearch:
    """A Gaussian process over configurations and epochs, fed with every curve, proposes by expected improvement.

    Before it has seen enough, trials are a scrambled Sobol sequence. A proposal is a function of the trials, their
    values and the seed.
    """

    def __init__(self, problem: Problem, num_startup: int, *, by_curves: bool) -> None:
        """A search without trials.

        Args:
            problem: what is searched.
            num_startup: number of the first trial that is modelled.
            by_curves: whether the model is shown the curve of every trial, or what each that has ended would have
                reached at full length.
        """
        self._cube = problem.cube
        self._problem = problem
        self._beliefs = Beliefs(self._cube, problem.beliefs)
        self._sign = 1.0 if problem.direction is StudyDirection.MAXIMIZE else -1.0
        self._num_startup = num_startup
        self._by_curves = by_curves
        self._max_epochs = problem.max_epochs
        self._seed = problem.seed
        self._trials: list[Trial] = []
        self._model: CurveModel | None = None

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """The params of the next trial, which runs from now on; those of `point` are given, the others proposed."""
        best, _ = self._best_new(waiting)
        params = completed(self._problem, best, point, len(self._trials))
        self._running_from_now(self._cube.point(params))
        return params

    def gains(self, waiting: Mapping[int, int]) -> tuple[dict[int, float], float]:
        """Of every waiting trial, and of a new one: log of the expected improvement per epoch that is left to train.

        Args:
            waiting: trial_id -> epochs behind it.
        """
        _, of_new = self._best_new(waiting.keys())
        model = self._modelled(waiting.keys())
        if model is None:
            return dict.fromkeys(waiting, -math.inf), of_new
        points = np.array([self._trials[number].point for number in waiting])
        left = np.array([self._max_epochs - epoch for epoch in waiting.values()])
        gains = model.log_improvement(points) - np.log(left)
        return dict(zip(waiting, gains.tolist(), strict=True)), of_new

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs."""
        self._running_from_now(self._cube.point(params))

    def skip(self) -> None:
        """A trial that nothing is known of."""
        self._trials.append(Trial(point=None, end=EndKind.FAILED))

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """A trial measured this; what is not finite teaches nothing."""
        if math.isfinite(value):
            self._trials[trial_id].values[epoch] = self._sign * value
            self._model = None

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """A trial has ended. One that diverged is to be avoided; one that failed without a value teaches nothing."""
        for epoch, value in values.items():
            self.report(trial_id, epoch, value)
        self._trials[trial_id].end = end.kind
        self._model = None

    def resume(self, trial_id: int) -> None:
        """See `Proposer`; its curve is known all the same."""
        self._trials[trial_id].end = None
        if not self._by_curves:
            self._model = None

    def _running_from_now(self, point: Vector) -> None:
        self._trials.append(Trial(point=point))
        if self._model is not None:
            self._model = self._model.believing(point[None])

    def _best_new(self, waiting: Collection[int]) -> tuple[Vector, float]:
        """A point for a new trial, and its gain; infinite while a start is to be made."""
        number = len(self._trials)
        model = self._modelled(waiting) if number >= self._num_startup else None
        if model is None:
            return starting_point(self._problem, "qmc", number, self._num_measured), math.inf
        rng = np.random.default_rng(derive_seed(self._seed, number))
        point = maximize(partial(self._appeal, model), model.tops, rng)
        settled = self._cube.settled(point[None])
        return point, float(model.log_improvement(settled.points)[0]) - math.log(self._max_epochs)

    def _appeal(self, model: CurveModel, points: Points) -> Vector:
        """Expected improvement times what was believed before (Hvarfner et al. 2022), of [n, D].

        What is forbidden has none, and what is known already is left for when there is nothing else.
        """
        settled = self._cube.settled(points)
        gains = model.log_improvement(settled.points) + self._beliefs.log_density(settled, power(self._num_measured))
        return np.where(settled.allowed, gains - KNOWN * model.knows(settled.points), -np.inf)

    @property
    def _num_measured(self) -> int:
        return sum(bool(trial.values) for trial in self._trials)

    def _modelled(self, waiting: Collection[int]) -> CurveModel | None:
        """Kept until something is reported; those that train are believed to end as expected."""
        if self._model is None:
            data = self._measured()
            if len(data.points) < 2:
                return None
            running = [
                trial.point
                for number, trial in enumerate(self._trials)
                if trial.end is None and trial.point is not None and number not in waiting
            ]
            self._model = CurveModel.of(data, self._cube, self._risk())
            if running:
                self._model = self._model.believing(np.array(running))
        return self._model

    def _measured(self) -> Measurements:
        if self._by_curves:
            return Measurements.of(self._trials, self._max_epochs)
        return Measurements.at_full_length(self._trials)

    def _risk(self) -> Risk:
        told = [trial for trial in self._trials if trial.point is not None and (trial.values or trial.end)]
        told = [trial for trial in told if trial.end not in (EndKind.FAILED, EndKind.TIMED_OUT)]
        points = np.array([trial.point for trial in told])
        diverged = np.array([trial.end is EndKind.DIVERGED for trial in told])
        return learn_risk(2 * self._cube.features(points) - 1, diverged)
