"""What a trial goes back to: its ancestors, each with the epochs whose state it handed on."""

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.config import JsonTree
from hpo.records import Params, TrialRecord
from hpo.results.table import plain_params


@dataclass(frozen=True, kw_only=True)
class Leg:
    """Epochs of one trial, on the way to the state of another."""

    trial: TrialRecord
    first_epoch: int
    """From 1."""
    last_epoch: int
    """At least `first_epoch` - 1: a child may not have trained yet."""


def lineage(trial: TrialRecord, trials: Sequence[TrialRecord]) -> list[Leg]:
    """The legs that led to a trial, from initial weights on; the last is its own."""
    records = {record.trial_id: record for record in trials}
    begun_after = trial.parent.epoch if trial.parent is not None else 0
    last_epoch = trial.end.epoch if trial.end is not None else max(trial.values, default=begun_after)
    legs: list[Leg] = []
    while (parent := trial.parent) is not None:
        legs.append(Leg(trial=trial, first_epoch=parent.epoch + 1, last_epoch=last_epoch))
        trial, last_epoch = records[parent.trial_id], parent.epoch
    return [Leg(trial=trial, first_epoch=1, last_epoch=last_epoch), *reversed(legs)]


def changed_params(before: Leg, after: Leg) -> Params:
    """Those of `after` that `before` had not, or had otherwise."""
    old = before.trial.params
    return {path: value for path, value in after.trial.params.items() if path not in old or old[path] != value}


def lineage_json(legs: Sequence[Leg]) -> list[JsonTree]:
    """The same for other programs."""
    return [
        {
            "trial": leg.trial.trial_id,
            "first_epoch": leg.first_epoch,
            "last_epoch": leg.last_epoch,
            "params": plain_params(leg.trial),
        }
        for leg in legs
    ]
