"""All trials of a sweep in order, best first."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hpo.config import JsonTree
from hpo.errors import HpoError
from hpo.records import EndKind, Goal, TrialRecord
from hpo.results.front import pareto_front

_FIXED = {"rank": "Int64", "trial": "Int64", "end": "string", "epoch": "Int64", "value": "Float64"}


def rank(trials: Sequence[TrialRecord], goal: Goal) -> list[TrialRecord]:
    """Completed trials by value; then those measured on their way, the farthest first, then by value.

    After them come trials that have no value yet, diverged ones, and those that failed or took too
    long. Equals stand in the order in which they were proposed. Repetitions follow all that they may repeat.
    """
    return sorted(trials, key=lambda trial: _order(trial, goal))


def find_best(trials: Sequence[TrialRecord], goal: Goal) -> TrialRecord | None:
    """The best completed trial; where none has completed, the best of those that came farthest; none without values."""
    first = min(trials, key=lambda trial: _order(trial, goal), default=None)
    return first if first is not None and _value(first) is not None and _is_sound(first) else None


def best(trials: Sequence[TrialRecord], goal: Goal) -> TrialRecord:
    """What `find_best` finds.

    Raises:
        HpoError: if no trial has a value.
    """
    found = find_best(trials, goal)
    if found is not None:
        return found
    counts = Counter(_end_name(trial) for trial in trials)
    ends = ", ".join(f"{count} {end}" for end, count in counts.items()) or "there is none"
    raise HpoError(
        f"The best of a sweep must have a value, but no trial has one ({ends}). Look at why the first trials ended: "
        "`hpo trials` shows their errors; diverged trials ask for a lower learning rate in the space."
    )


def find_front(trials: Sequence[TrialRecord], goals: Mapping[str, Goal]) -> list[TrialRecord]:
    """The complete trials whose metrics, as last measured, no other beats in all at once.

    Args:
        trials: in any order, which they keep.
        goals: which way each metric is better, by name.
    """
    searched = [trial for trial in trials if trial.repeats is None]
    complete = [trial for trial in searched if trial.end is not None and trial.end.kind is EndKind.COMPLETE]
    costs = [[_cost(trial, name, goal) for name, goal in goals.items()] for trial in complete]
    measured = [(trial, row) for trial, row in zip(complete, costs, strict=True) if all(map(math.isfinite, row))]
    on_front = pareto_front(np.array([row for _, row in measured]).reshape(-1, len(goals)))
    return [trial for (trial, _), is_there in zip(measured, on_front, strict=True) if is_there]


def leaderboard(trials: Sequence[TrialRecord], goals: Mapping[str, Goal]) -> pd.DataFrame:
    """One row per trial, best first: rank, trial, end, epoch, value, then the params, then the last metrics.

    With several metrics the value is that of the first, and `on_front` follows it; with repetitions, of which trial
    and on which seed each is, in `repeats` and `seed_index`.

    What is missing is `pd.NA` in nullable columns, never NaN: a param that does not apply, the value
    of a diverged trial.
    """
    rows = to_json(trials, goals)
    params = _names(row["params"] for row in rows)
    metrics = _names(row["metrics"] for row in rows)
    columns = {name: pd.Series([row[name] for row in rows], dtype=object) for name in _FIXED}
    if len(goals) > 1:
        columns["on_front"] = _column([row["on_front"] for row in rows])
    if any(row["repeats"] for row in rows):
        for title, name in (("repeats", "trial"), ("seed_index", "seed_index")):
            columns[title] = _column([row["repeats"] and row["repeats"][name] for row in rows])
    columns |= {name: _column([row["params"].get(name) for row in rows]) for name in params}
    for name in metrics:
        title = f"metrics.{name}" if name in columns else name
        columns[title] = _column([row["metrics"].get(name) for row in rows])
    return pd.DataFrame(columns).astype(_FIXED)


def to_json(trials: Sequence[TrialRecord], goals: Mapping[str, Goal]) -> list[JsonTree]:
    """One object per trial, best first, in values that strict JSON knows: what is not finite is null.

    With several metrics the best is that by the first, and each says whether it is `on_front`.
    """
    rows = [_row(number, trial) for number, trial in enumerate(rank(trials, next(iter(goals.values()))), start=1)]
    if len(goals) == 1:
        return rows
    front = {trial.trial_id for trial in find_front(trials, goals)}
    return [{**row, "on_front": row["trial"] in front} for row in rows]


def _cost(trial: TrialRecord, name: str, goal: Goal) -> float:
    """Of the last report; NaN where it did not measure that."""
    assert trial.end is not None
    return goal.as_cost(trial.end.metrics.get(name, math.nan))


def plain_params(trial: TrialRecord) -> JsonTree:
    """The params of a trial, in values that JSON knows."""
    return {path: _plain(value) for path, value in trial.params.items()}


def _order(trial: TrialRecord, goal: Goal) -> tuple[bool, int, int, float, int]:
    return trial.repeats is not None, *_place(trial, goal)


def _place(trial: TrialRecord, goal: Goal) -> tuple[int, int, float, int]:
    value = _value(trial)
    kind = None if trial.end is None else trial.end.kind
    cost = math.inf if value is None else goal.as_cost(value)
    match kind:
        case EndKind.COMPLETE if value is not None:
            return 0, 0, cost, trial.trial_id
        case EndKind.DIVERGED:
            return 3, 0, 0.0, trial.trial_id
        case EndKind.FAILED | EndKind.TIMED_OUT:
            return 4, 0, 0.0, trial.trial_id
        case _:
            return (1 if value is not None else 2), -_epoch(trial), cost, trial.trial_id


def _is_sound(trial: TrialRecord) -> bool:
    return trial.end is None or trial.end.kind in (EndKind.COMPLETE, EndKind.STOPPED)


def _epoch(trial: TrialRecord) -> int:
    return trial.end.epoch if trial.end is not None else max(trial.values, default=0)


def _value(trial: TrialRecord) -> float | None:
    """The objective at `_epoch`; none where it was not measured, or was not finite."""
    value = trial.end.value if trial.end is not None else trial.values.get(_epoch(trial))
    return value if value is not None and math.isfinite(value) else None


def _end_name(trial: TrialRecord) -> str:
    return "running" if trial.end is None else trial.end.kind.value


def _row(number: int, trial: TrialRecord) -> JsonTree:
    return {
        "rank": number,
        "trial": trial.trial_id,
        "end": _end_name(trial),
        "epoch": _epoch(trial),
        "value": _value(trial),
        "params": plain_params(trial),
        "repeats": None if trial.repeats is None else {"trial": trial.repeats, "seed_index": trial.seed_index},
        "parent": None if trial.parent is None else {"trial": trial.parent.trial_id, "epoch": trial.parent.epoch},
        "metrics": {} if trial.end is None else {name: _plain(value) for name, value in trial.end.metrics.items()},
        "reason": {} if trial.end is None else {name: _plain(value) for name, value in trial.end.reason.items()},
    }


def _plain(value: object) -> object:
    match value:
        case tuple():
            return list(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _names(groups: Iterable[Mapping[str, object]]) -> list[str]:
    """Every name, sorted, so that the columns do not depend on which trial leads."""
    return sorted({name for group in groups for name in group})


def _column(values: list[Any]) -> "pd.Series[Any]":
    """A nullable column of the narrowest type that holds all values; lists and mixtures become text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int}:
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series(values, dtype="Float64")
    return pd.Series([value if value is None else str(value) for value in values], dtype="string")
