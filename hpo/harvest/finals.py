"""Finalists, judged by what their repetitions say of each validation example."""

import logging

import numpy as np

from hpo.ensembles import are_right, nlls
from hpo.ensembles.arrays import Array
from hpo.errors import HpoError
from hpo.harvest.harvest import Harvest
from hpo.harvest.pool import read_pool
from hpo.results.finalists import Finalist, judge

logger = logging.getLogger(__name__)


def judge_by_example(harvest: Harvest) -> list[Finalist]:
    """All finalists, as `judge` has it, with the luck of the examples, where repetitions keep what they predict.

    A state that cannot be read ends no sweep: it is told, and seeds alone judge.
    """
    sweep = harvest.sweep
    if sweep.finalists is None:
        return []
    try:
        costs = _costs(harvest)
    except HpoError as error:
        logger.warning("Finalists are judged by their seeds alone: %s", error)
        costs = {}
    return judge(sweep.finalists, harvest.trials, sweep.metric.goal, costs)


def _costs(harvest: Harvest) -> dict[int, Array]:
    """Of every repetition that keeps its state, on each validation example."""
    labels = harvest.splits.validation.y
    again = [trial for trial in harvest.trials if trial.repeats is not None]
    pool = read_pool(again, labels, harvest.splits.num_classes)
    pool = pool.where(lambda each: each.is_last and each.weights == "raw")
    said = {each.trial_id: log_probs for each, log_probs in zip(pool.candidates, pool.log_probs, strict=True)}
    if harvest.sweep.metric.name == "val_accuracy":
        return {trial_id: -are_right(log_probs, labels).astype(np.float64) for trial_id, log_probs in said.items()}
    return {trial_id: nlls(log_probs, labels) for trial_id, log_probs in said.items()}
