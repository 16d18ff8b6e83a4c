"""What is believed of every configuration at full length, from the curves of the trials so far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpo.records import EndKind
from hpo.search.acquisition import log_expected_improvement
from hpo.search.cube import Cube, Points
from hpo.search.gaussian_process import GaussianProcess, fit, squared_distances
from hpo.search.hindsight import Trial, final_values
from hpo.search.risk import Risk

MOST_MEASUREMENTS = 600
"""That enter the model; see `Measurements.thinned`."""
MOST_FOR_FIT = 250
"""Of these, that its hyperparameters are learnt from."""
NUM_TOPS = 4
"""Best known trials, near which proposals are looked for."""
MOST_SPREADS = 10.0
"""How far below the median a measurement counts, in distances from the median to the best tenth."""
LEAST_GAP = 0.01
"""Between a proposal and what is known already, in the space of features, where choices and numbers span 1."""
LADDER = 3.0
"""A curve enters by its last value and by those at the last epoch divided by powers of this."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Measurements of trials."""

    points: Points
    """[n, D]."""
    progress: Vector
    """log(epoch) / log(max_epochs) [n], so 1 at full length."""
    values: Vector
    """Higher is better [n]."""
    is_last: NDArray[np.bool_]
    """Whether a measurement is its trial's last [n]."""

    @classmethod
    def at_full_length(cls, trials: Sequence[Trial]) -> "Measurements":
        """Every trial that has ended by what it reached, or would have; see `final_values`."""
        rows = [(trial.point, value) for trial, value in zip(trials, final_values(trials), strict=True)]
        rows = [(point, value) for point, value in rows if point is not None and value is not None]
        points, values = zip(*rows, strict=True) if rows else ((), ())
        return cls(
            points=np.array(points, dtype=float),
            progress=np.ones(len(rows)),
            values=np.array(values, dtype=float),
            is_last=np.ones(len(rows), dtype=bool),
        ).thinned(MOST_MEASUREMENTS)

    @classmethod
    def of(cls, trials: Sequence[Trial], max_epochs: int) -> "Measurements":
        """Every curve by some of its values; a trial that diverged is as bad as the worst that was measured."""
        placed = [(trial, trial.point) for trial in trials if trial.point is not None]
        rows = [
            (point, epoch, trial.values[epoch], epoch == max(trial.values))
            for trial, point in placed
            if trial.end is not EndKind.DIVERGED
            for epoch in _ladder(trial.values)
        ]
        worst = min((value for _, _, value, _ in rows), default=0.0)
        rows += [(point, max_epochs, worst, True) for trial, point in placed if trial.end is EndKind.DIVERGED and rows]
        points, epochs, values, is_last = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(
            points=np.array(points, dtype=float),
            progress=1 + np.log(np.array(epochs, dtype=float) / max_epochs) / math.log(max(2, max_epochs)),
            values=np.array(values, dtype=float),
            is_last=np.array(is_last, dtype=bool),
        ).thinned(MOST_MEASUREMENTS)

    def without_outliers(self) -> "Measurements":
        """What is far worse than usual (a loss that has grown without bounds) is only as bad as can be of use."""
        usual, good = np.quantile(self.values, [0.5, 0.9])
        if good == usual:
            return self
        return replace(self, values=np.maximum(self.values, usual - MOST_SPREADS * (good - usual)))

    def thinned(self, most: int) -> "Measurements":
        """At most so many: last values before earlier ones, then the best half of them and an even draw of the rest."""
        if len(self.values) <= most:
            return self
        order = np.lexsort((-self.values, ~self.is_last))
        kept, rest = order[: most // 2], order[most // 2 :]
        evenly = rest[np.linspace(0, len(rest) - 1, most - len(kept)).astype(int)]
        chosen = np.sort(np.concatenate([kept, evenly]))
        return replace(
            self,
            points=self.points[chosen],
            progress=self.progress[chosen],
            values=self.values[chosen],
            is_last=self.is_last[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class CurveModel:
    """What is believed of every configuration at full length."""

    cube: Cube
    process: GaussianProcess
    best: float
    """The best value so far, or that is believed to come, standardised."""
    tops: Points
    """[k, D]: of those measured, what is expected to be best."""
    risk: Risk

    @classmethod
    def of(cls, data: Measurements, cube: Cube, risk: Risk) -> "CurveModel":
        """Learn hyperparameters and condition on the measurements."""
        data = data.without_outliers()
        few = data.thinned(MOST_FOR_FIT)
        shift, scale = data.values.mean(), data.values.std() or 1.0
        standard = (data.values - shift) / scale
        hyper = fit(_inputs(cube, few.points, few.progress), (few.values - shift) / scale)
        process = GaussianProcess(hyper, _inputs(cube, data.points, data.progress), standard)
        means, _ = process.predict(_inputs(cube, data.points, np.ones(len(data.points))))
        tops = data.points[np.argsort(-means, kind="stable")[:NUM_TOPS]]
        return cls(cube=cube, process=process, best=float(standard.max()), tops=tops, risk=risk)

    def log_improvement(self, points: Points) -> Vector:
        """Expected at full length over the best so far, of [n, D], given that the trial does not diverge."""
        mean, std = self.process.predict(_inputs(self.cube, points, np.ones(len(points))))
        survives = np.log1p(-np.minimum(self.risk(2 * self.cube.features(points) - 1), 1 - 1e-12))
        return log_expected_improvement(mean, std, self.best) + survives

    def knows(self, points: Points) -> NDArray[np.bool_]:
        """Whether something was measured, or is believed, all but there [n]."""
        gaps = squared_distances(self.cube.features(points), self.process.inputs[:, :-1])
        near: NDArray[np.bool_] = gaps.min(1) < LEAST_GAP**2
        return near

    def believing(self, points: Points) -> "CurveModel":
        """The same, as if [n, D] had ended as expected: what they will reach is no longer an improvement."""
        inputs = _inputs(self.cube, points, np.ones(len(points)))
        means, _ = self.process.predict(inputs)
        return replace(self, process=self.process.believing(inputs), best=max(self.best, float(means.max())))


def _inputs(cube: Cube, points: Points, progress: Vector) -> NDArray[np.float64]:
    return np.column_stack([cube.features(points), progress])


def _ladder(values: Mapping[int, float]) -> list[int]:
    """Epochs of a curve that enter the model: the last, and those next below it divided by powers of `LADDER`."""
    epochs = sorted(values)
    chosen = set()
    limit = float(epochs[-1]) if epochs else 0.0
    while below := [epoch for epoch in epochs if epoch <= limit + 1e-9]:
        chosen.add(below[-1])
        limit = below[-1] / LADDER
    return sorted(chosen)
