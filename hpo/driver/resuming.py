"""What an earlier driver left: the trials that have not ended, and where each of them stands."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from hpo.driver.accounts import Accounts
from hpo.driver.trials import ActiveTrial
from hpo.records import Decision, EndKind, Goal, Leg, Outcome, TrialRecord
from hpo.scheduling.line import Line
from hpo.scheduling.packing import Standing
from hpo.search.study import Study
from hpo.sweep import Terms


@dataclass(frozen=True, kw_only=True)
class Left:
    """Trials by what is to be done with them; each that has not ended stands in one place."""

    arrived: Sequence[int]
    """Through before their cohorts: early stopping had ended them."""
    legs: Sequence[Leg]
    """Cohorts that were on their way, or have come and were not judged."""
    stopped: Mapping[int, Decision]
    """Judged, and not told their end."""
    unbegun: Sequence[TrialRecord]
    """Asked for, and in no cohort."""
    waiting: Sequence[int]
    """In line, in order."""


def open_trials(sweep: Terms, study: Study, compared: str) -> dict[int, ActiveTrial]:
    """Trials that have not ended, as they were at their last rung.

    Args:
        sweep: its terms.
        study: holds all trials.
        compared: the name of what trials are compared by.
    """
    trials = {}
    for record in study.trials():
        if record.end is None:
            parent = record.parent
            trial = ActiveTrial(spec=sweep.specify(record), last=record.kept, kept=record.kept)
            if parent is not None:
                trial.begun_at, trial.inherited = parent.epoch, study.trial(parent.trial_id).states[parent.epoch]
            trial.course = _course(record, trial.epoch, sweep.metric.goal)
            if record.kept is not None:
                trial.course[-1] = sweep.metric.goal.as_cost(record.kept.metrics[compared])
            trial.spared = next((each for each in record.decisions if each.outcome is Outcome.SPARED), None)
            trials[record.trial_id] = trial
    return trials


def recall(line: Line, accounts: Accounts, sweep: Terms, study: Study) -> None:
    """Show a new line and new accounts what the old ones had seen."""
    records, as_cost = study.trials(), sweep.metric.goal.as_cost
    decided = sorted((each.number, record.trial_id, each) for record in records for each in record.decisions)
    for _, trial_id, decision in decided:
        course = _course(study.trial(trial_id), decision.rung, sweep.metric.goal)
        line.recall(decision.rung, trial_id, as_cost(decision.value), course)
    for record in records:
        if record.end is not None and record.end.kind is EndKind.COMPLETE and record.end.value is not None:
            course = _course(record, sweep.epochs, sweep.metric.goal)
            line.recall(sweep.epochs, record.trial_id, as_cost(record.end.value), course)
    elapsed_s = 0.0 if study.logbook is None else study.logbook.elapsed_s
    accounts.resume(elapsed_s, records)


def left_behind(study: Study, *, is_population: bool) -> Left:
    """Where everybody stands who has not ended.

    Args:
        study: holds all trials.
        is_population: whether trials that were stopped wait in line for their successors.
    """
    records = {record.trial_id: record for record in study.trials() if record.end is None}
    for record in list(records.values()):
        if record.parent is not None and record.parent.replaces in records:
            del records[record.trial_id]  # begins as soon as the other has given way
    through = [record for record in records.values() if record.kept is not None and record.kept.best_epoch is not None]
    for record in through:
        del records[record.trial_id]
    kept = () if study.logbook is None else study.logbook.legs
    legs = [left for leg in kept if (left := _unjudged(leg, records)).trial_ids]
    for trial_id in (trial_id for leg in legs for trial_id in leg.trial_ids):
        del records[trial_id]
    stopped = {} if is_population else dict(_stopped(records.values()))
    unbegun = [record for record in records.values() if record.kept is None and record.parent is None]
    waiting = [record for record in records.values() if record not in unbegun and record.trial_id not in stopped]
    return Left(
        arrived=[record.trial_id for record in through],
        legs=legs,
        stopped=stopped,
        unbegun=unbegun,
        waiting=[record.trial_id for record in sorted(waiting, key=partial(_place_in_line, study))],
    )


def standing(trial: ActiveTrial) -> Standing:
    """Where a trial waits."""
    return Standing(trial_id=trial.spec.trial_id, epoch=trial.epoch, signature=trial.spec.signature)


def _unjudged(leg: Leg, records: Mapping[int, TrialRecord]) -> Leg:
    """Those of a leg who have not been judged at its end."""
    left = [records[trial_id] for trial_id in leg.trial_ids if trial_id in records]
    unjudged = [each.trial_id for each in left if all(decision.rung != leg.to_epoch for decision in each.decisions)]
    return replace(leg, trial_ids=tuple(unjudged))


def _stopped(records: Iterable[TrialRecord]) -> Iterator[tuple[int, Decision]]:
    for record in records:
        if record.decisions and record.decisions[-1].outcome is Outcome.STOPS:
            yield record.trial_id, record.decisions[-1]


def _place_in_line(study: Study, record: TrialRecord) -> tuple[float, int]:
    """As they came to where they are; a child that has not trained yet takes the place of whoever gave way to it."""
    if not record.decisions and record.parent is not None and record.parent.replaces is not None:
        record = study.trial(record.parent.replaces)
    here = [decision.number for decision in record.decisions if decision.rung == record.decisions[-1].rung]
    return min(here, default=math.inf), record.trial_id


def _course(record: TrialRecord, to_epoch: int, goal: Goal) -> list[float]:
    """What its epochs have cost."""
    return [goal.as_cost(value) for epoch, value in sorted(record.values.items()) if epoch <= to_epoch]
