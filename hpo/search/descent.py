"""Coordinate descent: from the best point so far, a step up and a step down along every axis."""

from collections.abc import Collection, Iterator, Mapping
from typing import final

import numpy as np
from optuna.study import StudyDirection

from hpo.records import End, EndKind
from hpo.search.beliefs import Beliefs
from hpo.search.caution import MOST_RISK
from hpo.search.cube import Points
from hpo.search.distributions import Stored
from hpo.search.proposer import Problem
from hpo.search.risk import Risk, learn_risk
from hpo.search.seeds import derive_seed
from hpo.search.starting import completed
from hpo.search.steps import NUM_SIZES, Steps, Vector
from hpo.search.walk import Key, Place, Walk, key_of, noise_among

NUM_TO_JUDGE_NOISE = 3
"""Trials of the start, where they are to say how much luck is in a value."""
NUM_DRAWN = 16
"""Points of which a new start is the one farthest from all that were tried."""
MOST_DRAWS = 64
"""Draws until one is neither tried nor likely to diverge."""


@final
class CoordinateDescent:
    """Tries all neighbours of the best point, moves while one is better, and halves its steps when none is.

    Where it stands is replayed for every proposal from the trials that have ended, in the order of their numbers, so
    that it does not matter when they ended. While results are awaited, it tries steps along several axes at once, and
    smaller ones. When the smallest steps gain nothing, it begins again.
    """

    def __init__(self, problem: Problem, factor: float, noise: float | None) -> None:
        """A search without trials.

        Args:
            problem: what is searched.
            factor: the first step of params on a log scale.
            noise: standard deviation of a value under other luck; none: that of values of the same params.
        """
        self._problem = problem
        self._cube = problem.cube
        self._steps = Steps(self._cube, factor)
        self._sign = -1.0 if problem.direction is StudyDirection.MAXIMIZE else 1.0
        self._noise = noise
        self._seed = problem.seed
        self._trials: list[Place] = []
        self._places: dict[Key, Place] = {}
        self._walk: Walk | None = None

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """See `Proposer`; what a point leaves open is as in the best one so far."""
        walk = self._walked()
        base = self._first() if walk is None else walk.base.point
        place = base if walk is None or point else self._next(walk)
        params = completed(self._problem, place, point, len(self._trials))
        self.add(params)
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs."""
        new = Place(point=self._cube.point(params), number=len(self._trials))
        place = self._places.setdefault(key_of(new.point), new)
        place.num_trials += 1
        self._trials.append(place)
        if self._walk is not None and self._walk.is_over:  # then this may be a new start
            self._walk = None

    def skip(self) -> None:
        """A trial that nothing is known of."""
        self._trials.append(Place(point=np.full(self._cube.num_axes, np.nan), number=len(self._trials)))

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """See `Proposer`; only how a trial ends is learnt from."""

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """A trial has ended. One that was stopped is worse than any that was complete; one that failed says nothing."""
        place = self._trials[trial_id]
        place.num_ended += 1
        match end.kind:
            case EndKind.COMPLETE:
                assert end.value is not None  # a study takes no complete trial without
                place.costs.append(self._sign * end.value)
            case EndKind.STOPPED:
                place.num_stopped += 1
            case EndKind.DIVERGED:
                place.has_diverged = True
        self._walk = None

    def resume(self, trial_id: int) -> None:
        """See `Proposer`."""
        place = self._trials[trial_id]
        place.num_ended -= 1
        place.num_stopped -= 1
        self._walk = None

    def _walked(self) -> Walk | None:
        """Where the descent stands, kept until a trial ends; none while nothing was tried."""
        if self._walk is None:
            self._walk = self._replayed()
        return self._walk

    def _replayed(self) -> Walk | None:
        """From the first place to the last; what lies near a start tells nothing before the start does."""
        noise = noise_among(self._places.values()) if self._noise is None else self._noise
        walk, seen = None, set[Key]()
        for place in self._places.values():
            if walk is None or (walk.is_over and self._may_begin(place)):
                walk = Walk(place, self._steps, seen)
                if place.num_ended == 0:
                    break
            if place.num_ended > 0:
                walk.visit(place, noise)
        return walk

    def _next(self, walk: Walk) -> Vector:
        first = next(iter(self._places.values()))
        if self._noise is None and first.num_trials < NUM_TO_JUDGE_NOISE and not first.is_hopeless:
            return first.point
        fresh = (point for point in self._candidates(walk) if key_of(point) not in self._places)
        return next((point for point in fresh if self._cube.settled(point[None]).allowed[0]), walk.base.point)

    def _first(self) -> Vector:
        """The middle of the space, but for what is expected to be good."""
        return Beliefs(self._cube, self._problem.beliefs).expected(np.full(self._cube.num_axes, 0.5))

    def _candidates(self, walk: Walk) -> Iterator[Vector]:
        """In the order in which they are to be tried, whether they were or not."""
        risk, number = self._risk(), len(self._trials)
        rng = np.random.default_rng(derive_seed(self._seed, number))
        if walk.is_over:
            yield self._start(number, risk)
        else:
            around = rng.permutation(walk.around())
            yield from sorted(around, key=lambda point: -float((point - walk.base.point) @ walk.heading))
            sizes = rng.integers(walk.size, NUM_SIZES, MOST_DRAWS)
            steps = np.array([self._steps.draw(walk.base.point, size, rng) for size in sizes])
            yield from steps[self._risks(risk, steps) <= MOST_RISK]
        yield from self._cube.snapped(rng.random((MOST_DRAWS, self._cube.num_axes)))

    def _start(self, number: int, risk: Risk) -> Vector:
        """For trial `number`: far from all that was tried, and not likely to diverge."""
        drawn = self._drawn(number)
        tried = self._cube.features(np.array([place.point for place in self._places.values()]))
        gaps = np.linalg.norm(self._cube.features(drawn)[:, None] - tried, axis=2).min(axis=1)
        risks = np.maximum(self._risks(risk, drawn), MOST_RISK)
        start: Vector = drawn[np.lexsort((-gaps, risks))[0]]
        return start

    def _may_begin(self, place: Place) -> bool:
        """Whether a descent was to begin with this place."""
        return key_of(place.point) in map(key_of, self._drawn(place.number))

    def _drawn(self, number: int) -> Points:
        """Where a descent that begins with trial `number` may do so [NUM_DRAWN, D]."""
        rng = np.random.default_rng(derive_seed(self._seed, number))
        return self._cube.snapped(rng.random((NUM_DRAWN, self._cube.num_axes)))

    def _risk(self) -> Risk:
        told = [place for place in self._places.values() if place.costs or place.num_stopped or place.has_diverged]
        points = np.array([place.point for place in told]).reshape(-1, self._cube.num_axes)
        return learn_risk(self._coordinates(points), np.array([place.has_diverged for place in told], dtype=bool))

    def _risks(self, risk: Risk, points: Points) -> Vector:
        return risk(self._coordinates(points))

    def _coordinates(self, points: Points) -> Points:
        """From -1 to 1, as `Risk` takes them."""
        return 2 * self._cube.features(points) - 1
