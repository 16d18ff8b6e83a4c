"""Predictions that are as sure as they are right."""

import math
from dataclasses import dataclass

import numpy as np

from hpo.ensembles.arrays import Labels, LogProbs, of_labels
from hpo.ensembles.folds import stratified_folds
from hpo.ensembles.intervals import standard_error
from hpo.ensembles.measures import nlls
from hpo.ensembles.pooling import tempered
from hpo.errors import EnsembleError

NUM_FOLDS = 5
_BOUND = math.log(100)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature, and what it does on examples that it was not fitted on."""

    temperature: float
    """1, where no other lowers the NLL of examples held out by more than a standard error."""
    fitted: float
    """Of lowest NLL on all examples."""
    nll_before: float
    """In nats."""
    nll_after: float
    """Of temperatures each fitted on the other folds."""


def calibrate(log_probs: LogProbs, labels: Labels, seed: int) -> Calibration:
    """The temperature of predictions [n, C], kept only if it lowers the NLL of folds that it was not fitted on.

    By more than a standard error, over examples: where a few hundred are nearly all predicted right, the best
    temperature is far too low for the few that will be wrong.

    The folds are of these examples alone: those by which members were selected flatter the ensemble, so that it looks
    less overconfident there than it is.

    Raises:
        EnsembleError: if a true class has probability 0, or labels and predictions do not belong together.
    """
    before = nlls(log_probs, labels)
    folds = stratified_folds(labels, min(NUM_FOLDS, len(labels)), seed)
    after = np.empty_like(before)
    for fold in range(folds.max() + 1):
        inside = folds == fold
        temperature = fit_temperature(log_probs[~inside], labels[~inside])
        after[inside] = nlls(tempered(log_probs[inside], temperature), labels[inside])
    fitted, gains = fit_temperature(log_probs, labels), before - after
    return Calibration(
        temperature=fitted if gains.mean() > standard_error(gains) else 1.0,
        fitted=fitted,
        nll_before=float(before.mean()),
        nll_after=float(after.mean()),
    )


def calibrated_nll(log_probs: LogProbs, labels: Labels, seed: int) -> float | None:
    """The mean NLL of predictions [n, C] at temperatures each fitted to other examples, in nats.

    By this alone are NLLs of different predictors compared fairly (Ashukha et al. 2020, section 3.1): else how sure
    each happens to be decides. None where a true class has probability 0, or there is one example.
    """
    if len(labels) < 2 or not np.isfinite(of_labels(log_probs[np.newaxis], labels)).all():
        return None
    return calibrate(log_probs, labels, seed).nll_after


def fit_temperature(log_probs: LogProbs, labels: Labels) -> float:
    """The temperature of lowest NLL of predictions [n, C], from 1/100 to 100 (Guo et al. 2017).

    The NLL is convex in 1 / temperature, so along the logarithm, too, it has no other minimum.

    Raises:
        EnsembleError: as of `calibrate`.
    """
    if not np.isfinite(of_labels(log_probs[np.newaxis], labels)).all():
        raise EnsembleError(
            "A temperature can only be fitted to finite predictions that never rule out what is true, but these do. "
            "Pool more members, or leave out the one that is so sure."
        )

    def cost(log_temperature: float) -> float:
        return float(nlls(tempered(log_probs, math.exp(log_temperature)), labels).mean())

    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - takes a while, and most commands calibrate nothing

    found = minimize_scalar(cost, bounds=(-_BOUND, _BOUND), method="bounded", options={"xatol": 1e-7})
    return math.exp(found.x)
