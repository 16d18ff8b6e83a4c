"""How the life of a trial becomes entries, and how entries are merged."""

import math
from pathlib import Path

import pytest

from hpo.records import End, EndKind, Params, Report
from hpo.tracking import entries
from hpo.tracking.entries import Entry, Point
from hpo.tracking.tracker import SweepStatus


def test_params_are_written_as_in_a_sweep_file() -> None:
    params: Params = {"optimizer.lr": 0.1, "batch_size": 64, "optimizer.nesterov": True, "model.hidden": (8, 8)}

    entry = entries.started(0, params, None, time_ms=5)

    assert entry.params == {
        "optimizer.lr": "0.1",
        "batch_size": "64",
        "optimizer.nesterov": "true",
        "model.hidden": "[8, 8]",
    }


def test_a_report_has_one_point_per_metric_at_its_epoch() -> None:
    entry = entries.reported(Report(trial_id=3, epoch=2, metrics={"val_loss": 0.5}), time_ms=5)

    assert entry.points == (Point(name="val_loss", value=0.5, step=2, time_ms=5),)


def test_a_metric_that_is_not_finite_is_a_tag_and_never_a_number() -> None:
    metrics = {"train_loss": math.nan, "val_loss": math.inf, "lr": 0.1}

    entry = entries.reported(Report(trial_id=3, epoch=2, metrics=metrics), time_ms=5)

    assert [point.name for point in entry.points] == ["lr"]
    assert entry.tags == {"hpo.not_finite": "train_loss, val_loss at epoch 2"}


def test_a_metric_name_that_mlflow_refuses_is_respelled() -> None:
    entry = entries.reported(Report(trial_id=0, epoch=1, metrics={"top@5": 0.9}), time_ms=5)

    assert entry.points[0].name == "top_5"


@pytest.mark.parametrize(
    ("kind", "status", "names"),
    [
        (EndKind.COMPLETE, "FINISHED", ["epochs", "final_val_accuracy"]),
        (EndKind.STOPPED, "FINISHED", ["epochs"]),
        (EndKind.DIVERGED, "FINISHED", ["epochs"]),
        (EndKind.FAILED, "FAILED", ["epochs"]),
        (EndKind.TIMED_OUT, "FAILED", ["epochs"]),
    ],
)
def test_an_end_sets_the_status_and_only_completed_trials_have_a_final_metric(
    kind: EndKind, status: str, names: list[str]
) -> None:
    entry = entries.ended(0, End(kind=kind, epoch=3, value=0.9), "val_accuracy", time_ms=5)

    assert (entry.status, entry.tags["hpo.end"], entry.end_ms) == (status, kind.value, 5)
    assert [point.name for point in entry.points] == names


def test_why_a_trial_was_stopped_stands_in_its_tags() -> None:
    end = End(kind=EndKind.STOPPED, epoch=3, value=0.4, reason={"rung": 3, "cutoff": 0.62, "rank": 7, "num_seen": 9})

    entry = entries.ended(0, end, "val_accuracy", time_ms=5)

    assert entry.tags == {
        "hpo.end": "stopped",
        "hpo.rung": "3",
        "hpo.cutoff": "0.62",
        "hpo.rank": "7",
        "hpo.num_seen": "9",
    }


def test_the_end_of_a_long_traceback_becomes_the_description() -> None:
    reason = {"error": "ValueError: no", "traceback": "x" * 9000 + "ValueError: no"}

    entry = entries.ended(0, End(kind=EndKind.FAILED, epoch=0, reason=reason), "val_accuracy", time_ms=5)

    note = entry.tags["mlflow.note.content"]
    assert len(note) < 8000
    assert note.endswith("ValueError: no\n```")
    assert entry.tags["hpo.error"] == "ValueError: no"


def test_a_summary_becomes_metrics_and_tags() -> None:
    entry = entries.finished({"num_trials": 3, "best": math.nan, "winner": "a/1"}, SweepStatus.PAUSED, time_ms=5)

    assert entry.points == (Point(name="num_trials", value=3.0, step=0, time_ms=5),)
    assert entry.tags == {"hpo.status": "paused", "hpo.winner": "a/1", "hpo.best": "not finite"}
    assert entry.status == "SCHEDULED"


def test_entries_of_a_trial_merge_into_one_and_the_sweep_comes_last() -> None:
    reports = [entries.reported(Report(trial_id=1, epoch=epoch, metrics={"a": 0.0}), time_ms=epoch) for epoch in (1, 2)]
    end = entries.ended(1, End(kind=EndKind.STOPPED, epoch=2), "a", time_ms=3)
    finish = entries.finished({}, SweepStatus.FINISHED, time_ms=4)

    result = entries.merged([finish, entries.started(1, {"p": 1}, None, time_ms=0), *reports, end])

    assert [entry.trial_id for entry in result] == [1, None]
    assert (result[0].start_ms, result[0].end_ms, result[0].status) == (0, 3, "FINISHED")
    assert [(point.name, point.step) for point in result[0].points] == [("a", 1), ("a", 2), ("epochs", 0)]


def test_merging_stays_within_the_limits_of_one_batch() -> None:
    points = tuple(Point(name=str(number), value=0.0, step=1, time_ms=1) for number in range(600))

    result = entries.merged([Entry(trial_id=0, points=points)] * 3)

    assert [len(entry.points) for entry in result] == [600, 600, 600]


def test_an_artifact_is_an_entry_of_its_own() -> None:
    tags = Entry(trial_id=None, tags={"a": "b"})
    artifact = Entry(trial_id=None, artifact=Path("report.html"))

    assert entries.merged([tags, artifact, tags]) == [tags, artifact, tags]


def test_no_password_of_an_address_reaches_a_tag() -> None:
    said = "no answer from postgresql://me:s3cret@db/data"

    entry = entries.ended(0, End(kind=EndKind.FAILED, epoch=0, reason={"error": said, "traceback": said}), "m", 5)

    assert entry.tags["hpo.error"] == "no answer from postgresql://me:***@db/data"
    assert "s3cret" not in entry.tags["mlflow.note.content"]


@pytest.mark.parametrize(
    "entry",
    [
        Entry(trial_id=None, artifact=Path("best"), start_ms=0),
        Entry(trial_id=0, params={"a": "1"}, tags={"note": "one\ntwo \u00e9 \ud800"}, status="FAILED", end_ms=3),
        Entry(trial_id=7, points=(Point(name="loss", value=0.1 + 0.2, step=1, time_ms=5),)),
    ],
)
def test_an_entry_is_one_line_and_comes_back_as_it_was(entry: Entry) -> None:
    line = entries.to_line(entry)

    assert line.count(b"\n") == 1
    assert entries.from_line(line) == entry


@pytest.mark.parametrize(
    "line",
    [
        b'{"trial_id": "x"}',
        b'{"tags": [1]}',
        b'{"params": {"a": 1}}',
        b'{"points": [["loss", "evil", 1, 2]]}',
        b'{"points": [["loss", NaN, 1, 2]]}',
        b'{"status": "GONE"}',
        b'{"unknown": 1}',
        b"[" * 100_000,
    ],
)
def test_a_line_with_anything_else_in_it_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="must be a line that hpo wrote"):
        entries.from_line(line)
