"""The order of trials, and their table."""

import json
import math

import pandas as pd
import pytest

from hpo.errors import HpoError
from hpo.records import End, EndKind, Goal, Params, TrialRecord
from hpo.results import best, leaderboard, rank, to_json

UP = {"val_accuracy": Goal.MAXIMIZE}


def ended(
    trial_id: int, kind: EndKind, *, epoch: int = 9, value: float | None = None, params: Params | None = None
) -> TrialRecord:
    metrics = {} if value is None else {"val_accuracy": value}
    return TrialRecord(
        trial_id=trial_id, params=params or {}, end=End(kind=kind, epoch=epoch, value=value, metrics=metrics)
    )


MIXED = [
    ended(0, EndKind.FAILED),
    ended(1, EndKind.STOPPED, epoch=1, value=0.99),
    ended(2, EndKind.COMPLETE, value=0.7),
    ended(3, EndKind.DIVERGED, epoch=2, value=math.nan),
    TrialRecord(trial_id=4, params={}),
    ended(5, EndKind.STOPPED, epoch=3, value=0.5),
    ended(6, EndKind.COMPLETE, value=0.8),
    TrialRecord(trial_id=7, params={}, values={1: 0.4, 3: 0.6}),
]


def test_rank_puts_completed_first_then_the_farthest_then_what_has_no_value() -> None:
    ranked = rank(MIXED, Goal.MAXIMIZE)

    assert [trial.trial_id for trial in ranked] == [6, 2, 7, 5, 1, 4, 3, 0]


def test_rank_minimizes() -> None:
    ranked = rank([MIXED[6], MIXED[2]], Goal.MINIMIZE)

    assert [trial.trial_id for trial in ranked] == [2, 6]


def test_rank_keeps_equal_trials_in_the_order_of_their_proposal() -> None:
    trials = [ended(number, EndKind.COMPLETE, value=0.5) for number in (2, 0, 1)]

    assert [trial.trial_id for trial in rank(trials, Goal.MAXIMIZE)] == [0, 1, 2]


def test_a_completed_trial_whose_value_is_not_finite_is_not_the_best() -> None:
    trials = [ended(0, EndKind.COMPLETE, value=math.nan), ended(1, EndKind.COMPLETE, value=0.1)]

    assert best(trials, Goal.MAXIMIZE).trial_id == 1


def test_best_prefers_a_completed_trial_to_a_better_stopped_one() -> None:
    assert best(MIXED, Goal.MAXIMIZE).trial_id == 6


def test_best_is_the_farthest_where_none_has_completed() -> None:
    trials = [trial for trial in MIXED if trial.trial_id not in (2, 6)]

    assert best(trials, Goal.MAXIMIZE).trial_id == 7


def test_best_of_trials_without_a_value_says_how_they_ended() -> None:
    trials = [ended(0, EndKind.DIVERGED), ended(1, EndKind.DIVERGED), ended(2, EndKind.FAILED, value=0.9)]

    with pytest.raises(HpoError, match=r"no trial has one \(2 diverged, 1 failed\)\. Look at"):
        best(trials, Goal.MAXIMIZE)


def test_best_of_no_trials_says_that_there_is_none() -> None:
    with pytest.raises(HpoError, match="there is none"):
        best([], Goal.MAXIMIZE)


def test_leaderboard_has_one_typed_column_per_name() -> None:
    params: list[Params] = [
        {"optimizer.lr": 0.1, "batch_size": 32, "optimizer.nesterov": True, "model.hidden": (64, 64)},
        {"optimizer.lr": 1, "batch_size": 64, "optimizer.kind": "adamw"},
    ]
    trials = [ended(number, EndKind.COMPLETE, value=0.5, params=params[number]) for number in (0, 1)]

    table = leaderboard(trials, UP)

    assert {str(name): str(dtype) for name, dtype in table.dtypes.items()} == {
        "rank": "Int64",
        "trial": "Int64",
        "end": "string",
        "epoch": "Int64",
        "value": "Float64",
        "batch_size": "Int64",
        "model.hidden": "string",
        "optimizer.kind": "string",
        "optimizer.lr": "Float64",
        "optimizer.nesterov": "boolean",
        "val_accuracy": "Float64",
    }
    assert table["model.hidden"][0] == "[64, 64]"


def test_leaderboard_marks_what_is_missing_and_never_holds_a_nan() -> None:
    table = leaderboard(MIXED, UP).set_index("trial")

    assert table.loc[3, "value"] is pd.NA
    assert table.loc[3, "val_accuracy"] is pd.NA
    assert table.loc[7, "end"] == "running"
    assert table.loc[7, "value"] == 0.6


def test_leaderboard_keeps_a_metric_that_bears_the_name_of_a_column() -> None:
    end = End(kind=EndKind.COMPLETE, epoch=1, value=0.5, metrics={"value": 3.0})

    table = leaderboard([TrialRecord(trial_id=0, params={}, end=end)], UP)

    assert (table["value"][0], table["metrics.value"][0]) == (0.5, 3.0)


def test_leaderboard_of_no_trials_has_its_columns() -> None:
    assert list(leaderboard([], UP).columns) == ["rank", "trial", "end", "epoch", "value"]


def test_leaderboard_lines_up_whatever_order_the_trials_come_in() -> None:
    forward, backward = (leaderboard(trials, UP) for trials in (MIXED, MIXED[::-1]))

    pd.testing.assert_frame_equal(forward, backward)


def test_to_json_is_strict_json() -> None:
    reason = {"cutoff": math.inf, "rung": 3}
    end = End(kind=EndKind.STOPPED, epoch=3, value=0.5, metrics={"val_loss": math.nan}, reason=reason)
    trial = TrialRecord(trial_id=4, params={"model.hidden": (8,)}, end=end)

    rows = to_json([trial], UP)

    assert json.loads(json.dumps(rows, allow_nan=False)) == [
        {
            "rank": 1,
            "trial": 4,
            "end": "stopped",
            "epoch": 3,
            "value": 0.5,
            "params": {"model.hidden": [8]},
            "repeats": None,
            "parent": None,
            "metrics": {"val_loss": None},
            "reason": {"cutoff": None, "rung": 3},
        }
    ]
