"""Trials as they stand in the database."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from hpo.records import Decision, End, EndKind, Outcome, Params, Parent, TrialRecord
from hpo.search.shape import Shape
from hpo.search.storage import STUDY_NAME, read_only
from hpo.spaces import Domain
from hpo.spaces.conditions import Conditions

END = "end"
CHECKPOINT = "checkpoint"
DERIVED = "derived"
DECISIONS = "decisions"
PARENT = "parent"


def read_trials(storage: Path, space: Mapping[str, Domain]) -> list[TrialRecord]:
    """All trials of a study by `trial_id`, as they stand; its driver is not disturbed.

    Raises:
        StudyError: if the file is not a study.
    """
    with read_only(storage) as database:
        frozen = database.get_all_trials(database.get_study_id_from_name(STUDY_NAME))
    shape = Shape(space, Conditions(space))
    return [_as_record(trial, shape) for trial in frozen if shape.is_whole(trial.params)]


def _as_record(frozen: FrozenTrial, shape: Shape) -> TrialRecord:
    end = frozen.user_attrs.get(END)
    return TrialRecord(
        trial_id=frozen.number,
        params=params_of(frozen, shape),
        values=dict(frozen.intermediate_values),
        end=None if end is None else as_end(end),
        checkpoint=frozen.user_attrs.get(CHECKPOINT, {"file": None})["file"],
        decisions=decisions_of(frozen),
        parent=parent_of(frozen),
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


def as_end(tree: dict[str, Any]) -> End:
    """From JSON."""
    return End(**{**tree, "kind": EndKind(tree["kind"])})
