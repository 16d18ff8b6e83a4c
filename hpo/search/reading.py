"""Trials as they stand in the database."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from hpo.errors import StudyError
from hpo.records import Decision, End, EndKind, Leg, Logbook, Outcome, Params, Parent, Report, TrialRecord
from hpo.search.database import read_only
from hpo.search.places import Place
from hpo.search.shape import Shape
from hpo.search.storage import LOGBOOK
from hpo.spaces import Domain
from hpo.spaces.conditions import Conditions

END = "end"
KEPT = "kept"
DERIVED = "derived"
DECISIONS = "decisions"
PARENT = "parent"
REPEATS = "repeats"


def read_trials(place: Place, space: Mapping[str, Domain]) -> list[TrialRecord]:
    """All trials of a study by `trial_id`, as they stand; its driver is not disturbed.

    Raises:
        StudyError: if there is no study, or it holds what hpo has not written.
    """
    return read_study(place, space)[0]


def read_study(place: Place, space: Mapping[str, Domain]) -> tuple[list[TrialRecord], Logbook | None]:
    """Its trials, as `read_trials` does, and what its last driver left; none before the first."""
    with read_only(place) as (database, study_id):
        frozen = database.get_all_trials(study_id)
        tree = database.get_study_user_attrs(study_id).get(LOGBOOK)
    shape = Shape(space, Conditions(space))
    try:
        records = [as_record(trial, shape) for trial in frozen if shape.is_whole(trial.params)]
        return records, None if tree is None else as_logbook(tree)
    except StudyError as error:
        raise StudyError(f"{place}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StudyError(
            f"{place}: the logbook must be as hpo writes it, but is not ({error!r}). Restore it from a copy."
        ) from error


def as_record(frozen: FrozenTrial, shape: Shape) -> TrialRecord:
    """A trial with all that is known of it.

    Raises:
        StudyError: if what is kept of it is not what hpo writes.
    """
    try:
        return _as_record(frozen, shape)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StudyError(
            f"trial {frozen.number}: must be kept as hpo writes it, but is not ({error!r}). Restore it from a copy."
        ) from error


def _as_record(frozen: FrozenTrial, shape: Shape) -> TrialRecord:
    end = frozen.user_attrs.get(END)
    return replace(
        begun(frozen, shape),
        values=dict(frozen.intermediate_values),
        end=None if end is None else as_end(end),
        kept=kept_of(frozen),
        states=states_of(frozen),
        decisions=decisions_of(frozen),
    )


def begun(trial: FrozenTrial, shape: Shape) -> TrialRecord:
    """As it was before it had measured anything."""
    repeated = trial.user_attrs.get(REPEATS)
    return TrialRecord(
        trial_id=trial.number,
        params=params_of(trial, shape),
        parent=parent_of(trial),
        repeats=None if repeated is None else int(repeated["trial_id"]),
        seed_index=0 if repeated is None else int(repeated["seed_index"]),
    )


def params_of(trial: FrozenTrial, shape: Shape) -> Params:
    """What was proposed, and what was derived from it."""
    return {**shape.values(trial.params), **trial.user_attrs.get(DERIVED, {})}


def decisions_of(trial: FrozenTrial) -> tuple[Decision, ...]:
    """At its rungs, in order of time."""
    trees = trial.user_attrs.get(DECISIONS, [])
    return tuple(Decision(**{**tree, "outcome": Outcome(tree["outcome"])}) for tree in trees)


def parent_of(trial: FrozenTrial) -> Parent | None:
    """Whose state it goes on from, if anybody's."""
    tree = trial.user_attrs.get(PARENT)
    return None if tree is None else Parent(**tree)


def kept_of(trial: FrozenTrial) -> Report | None:
    """The last report that came with a state."""
    tree = trial.user_attrs.get(KEPT)
    if tree is None:
        return None
    told = {name: tree[name] for name in ("epoch", "metrics", "best_epoch")}
    return Report(trial_id=trial.number, checkpoint=states_of(trial)[tree["epoch"]], **told)


def states_of(trial: FrozenTrial) -> dict[int, str]:
    """Where every state that was reported lay, by epoch."""
    tree = trial.user_attrs.get(KEPT, {"states": {}})
    return {int(epoch): file for epoch, file in tree["states"].items()}


def as_kept(report: Report, states: Mapping[int, str]) -> dict[str, Any]:
    """As JSON, with all states, the report's among them."""
    told = {"epoch": report.epoch, "metrics": dict(report.metrics), "best_epoch": report.best_epoch}
    return {**told, "states": {str(epoch): file for epoch, file in states.items()}}


def as_logbook(tree: dict[str, Any]) -> Logbook:
    """From JSON."""
    legs = tuple(Leg(**{**leg, "trial_ids": tuple(leg["trial_ids"])}) for leg in tree["legs"])
    return Logbook(**{**tree, "legs": legs})


def as_end(tree: dict[str, Any]) -> End:
    """From JSON."""
    return End(**{**tree, "kind": EndKind(tree["kind"])})
