"""Several models that speak with one voice: arrays in, weights out; `soups` alone knows networks' weights."""

from hpo.ensembles.arrays import of_labels
from hpo.ensembles.calibration import Calibration, calibrate, calibrated_nll
from hpo.ensembles.crossfit import (
    Fit,
    Score,
    cross_fitted,
    gains_by_skill_and_by_chance,
    score,
    select_and_calibrate,
    to_select_on,
)
from hpo.ensembles.diversity import Diversity, Information, diversity, information
from hpo.ensembles.equivalents import Equivalent, deep_curve, equivalent
from hpo.ensembles.intervals import Interval, interval, interval_of_difference, interval_over_seeds
from hpo.ensembles.measures import Measures, are_right, measure, nlls
from hpo.ensembles.pooling import pool, tempered
from hpo.ensembles.selection import Selection, Step, greedy, top
from hpo.ensembles.stacking import stack
from hpo.ensembles.verdicts import Difference, Verdict, difference, verdict, verdict_over_seeds

__all__ = [
    "Calibration",
    "Difference",
    "Diversity",
    "Equivalent",
    "Fit",
    "Information",
    "Interval",
    "Measures",
    "Score",
    "Selection",
    "Step",
    "Verdict",
    "are_right",
    "calibrate",
    "calibrated_nll",
    "cross_fitted",
    "deep_curve",
    "difference",
    "diversity",
    "equivalent",
    "gains_by_skill_and_by_chance",
    "greedy",
    "information",
    "interval",
    "interval_of_difference",
    "interval_over_seeds",
    "measure",
    "nlls",
    "of_labels",
    "pool",
    "score",
    "select_and_calibrate",
    "stack",
    "tempered",
    "to_select_on",
    "top",
    "verdict",
    "verdict_over_seeds",
]
