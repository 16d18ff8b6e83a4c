"""Whether an ensemble that was left with a sweep knows what it knows."""

from collections.abc import Sequence

import numpy as np

from hpo.ensembles import pool, tempered
from hpo.ensembles.confidence import Bin, confidences, reliability
from hpo.harvest.pool import read_pool
from hpo.records import TrialRecord
from hpo.results.report.subject import ToldEnsemble
from hpo.training.data import Splits


def reliability_of(told: ToldEnsemble, trials: Sequence[TrialRecord], splits: Splits) -> list[Bin]:
    """What its members say together of the validation examples; nothing of a soup, or where a state is gone.

    Args:
        told: the ensemble.
        trials: of the sweep, repetitions among them.
        splits: that it was selected on.

    Raises:
        EnsembleError: if members were measured on other examples.
        HpoError: if a state is damaged.
    """
    wanted = [(member.trial_id, member.epoch, member.weights) for member in told.members]
    own = [trial for trial in trials if trial.trial_id in {trial_id for trial_id, *_ in wanted}]
    there = read_pool(own, splits.validation.y, splits.num_classes, stopped=True)
    rows = {(each.trial_id, each.epoch, each.weights): row for row, each in enumerate(there.candidates)}
    if told.averaged != "probabilities" or not rows.keys() >= set(wanted):
        return []
    weights = np.array([member.weight for member in told.members])
    pooled = pool(there.log_probs[[rows[member] for member in wanted]], weights / weights.sum())
    return reliability(confidences(tempered(pooled, told.temperature), splits.validation.y))
