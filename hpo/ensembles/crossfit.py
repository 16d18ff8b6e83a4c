"""What a selection is worth on examples that it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.ensembles.arrays import Array, Labels, LogProbs, of_labels
from hpo.ensembles.calibration import Calibration, calibrate, fit_temperature
from hpo.ensembles.candidates import NUM_CONSIDERED, best_first
from hpo.ensembles.folds import stratified_folds, stratified_part
from hpo.ensembles.measures import are_right, nlls
from hpo.ensembles.pooling import pool, tempered
from hpo.ensembles.selection import Selection

Select = Callable[[LogProbs, Labels], Selection]
"""From log-probabilities [M, n, C] and labels [n]: `greedy`, `top` or `stack`, with their other arguments bound."""

NUM_FOLDS = 5
FEWEST_TO_SPLIT = 2000
"""Examples; of fewer none is spared for calibration alone."""
SHARE_TO_CALIBRATE = 0.3


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over examples."""

    nll: float
    """In nats."""
    accuracy: float
    num_examples: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """An ensemble, and an honest word on it."""

    selection: Selection
    calibration: Calibration
    """Of the pooled predictions, on examples that the selection has not seen."""
    selected_on: Score
    """On the examples by which members were selected."""
    held_out: Score
    """On examples by which they were not; before calibration."""

    @property
    def optimism(self) -> float:
        """Nats by which the NLL is higher on examples that the selection has not seen."""
        return self.held_out.nll - self.selected_on.nll


def to_select_on(labels: Labels, seed: int) -> NDArray[np.bool_]:
    """By which of the examples [n] members are selected: of 2 000 or more 70 %, of fewer all."""
    if len(labels) < FEWEST_TO_SPLIT:
        return np.ones(len(labels), np.bool_)
    return ~stratified_part(labels, SHARE_TO_CALIBRATE, seed)


def select_and_calibrate(log_probs: LogProbs, labels: Labels, select: Select, seed: int) -> Fit:
    """Select members, then fit a temperature to their pooled predictions, never on the same examples.

    Of 2 000 examples or more, 70 % select and 30 % calibrate, and score. Of fewer all select; calibrated, and scored,
    are `cross_fitted` predictions, which come from ensembles selected alike.

    Args:
        log_probs: [M, n, C].
        labels: [n].
        select: chooses members and weights.
        seed: of the parts.

    Raises:
        EnsembleError: if no member can be picked, or labels and predictions do not belong together.
    """
    inside = to_select_on(labels, seed)
    selection = select(log_probs[:, inside], labels[inside])
    if inside.all():
        unseen, truth = cross_fitted(log_probs, labels, select, seed), labels
    else:
        unseen, truth = pool(log_probs[:, ~inside], selection.weights), labels[~inside]
    return Fit(
        selection=selection,
        calibration=calibrate(unseen, truth, seed),
        selected_on=score(pool(log_probs[:, inside], selection.weights), labels[inside]),
        held_out=score(unseen, truth),
    )


def cross_fitted(log_probs: LogProbs, labels: Labels, select: Select, seed: int, num_folds: int = NUM_FOLDS) -> Array:
    """Pooled predictions [n, C], those of each stratified fold by the ensemble that the other folds select.

    Raises:
        EnsembleError: as of `select`, or if there are fewer examples than folds.
    """
    folds = stratified_folds(labels, num_folds, seed)
    pooled = np.empty(log_probs.shape[1:])
    for fold in range(num_folds):
        inside = folds == fold
        weights = select(log_probs[:, ~inside], labels[~inside]).weights
        pooled[inside] = pool(log_probs[:, inside], weights)
    return pooled


def score(log_probs: LogProbs, labels: Labels) -> Score:
    """Of predictions [n, C]."""
    return Score(
        nll=float(nlls(log_probs, labels).mean()),
        accuracy=float(are_right(log_probs, labels).mean()),
        num_examples=len(labels),
    )


def gains_by_skill_and_by_chance(log_probs: LogProbs, labels: Labels, select: Select, seed: int) -> tuple[float, float]:
    """Nats by which a selection lowers the NLL of the best single member; and by which it does if labels are shuffled.

    A gain that chance makes as well is none. The 50 members of lowest NLL are first tempered to the labels they meet:
    else any average of confident members would gain on shuffled labels, by being less sure.

    Raises:
        EnsembleError: as of `select`.
    """
    considered = log_probs[best_first(of_labels(log_probs, labels), NUM_CONSIDERED)]
    shuffled = np.random.default_rng(seed).permutation(labels)
    return _gain(considered, labels, select), _gain(considered, shuffled, select)


def _gain(log_probs: LogProbs, labels: Labels, select: Select) -> float:
    """Of members at their best temperatures."""
    calibrated = np.array([tempered(member, fit_temperature(member, labels)) for member in log_probs])
    best = -float(of_labels(calibrated, labels).mean(1).max())
    return best - score(pool(calibrated, select(calibrated, labels).weights), labels).nll
