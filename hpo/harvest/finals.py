"""Finalists, judged by what their repetitions say of each validation example."""

import numpy as np

from hpo.ensembles import are_right, nlls
from hpo.harvest.harvest import Harvest
from hpo.harvest.pool import read_pool
from hpo.results.finalists import Finalist, judge


def judge_by_example(harvest: Harvest) -> list[Finalist]:
    """All finalists, as `judge` has it, with the luck of the examples, where repetitions keep what they predict."""
    sweep, labels = harvest.sweep, harvest.splits.validation.y
    if sweep.finalists is None:
        return []
    again = [trial for trial in harvest.trials if trial.repeats is not None]
    pool = read_pool(again, labels, harvest.splits.num_classes)
    pool = pool.where(lambda each: each.is_last and each.weights == "raw")
    said = {each.trial_id: log_probs for each, log_probs in zip(pool.candidates, pool.log_probs, strict=True)}
    if sweep.metric.name == "val_accuracy":
        costs = {trial_id: -are_right(log_probs, labels).astype(np.float64) for trial_id, log_probs in said.items()}
    else:
        costs = {trial_id: nlls(log_probs, labels) for trial_id, log_probs in said.items()}
    return judge(sweep.finalists, harvest.trials, sweep.metric.goal, costs)
