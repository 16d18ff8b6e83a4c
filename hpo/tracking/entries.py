"""What is to be written to MLflow, as plain records and lines, and how the life of a trial becomes them. Pure."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import FiniteFloat, TypeAdapter

from hpo.records import End, EndKind, Params, ParamValue, Parent, Report
from hpo.tracking.tracker import SweepStatus
from hpo.uris import masked

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
"""MLflow's words."""

MAX_ITEMS = 1000
"""Points, tags and params of one `log_batch`; MLflow refuses more."""
MAX_TAGS = 100
"""Of one `log_batch`, and of params as many."""
MAX_TRACEBACK = 7000
"""Characters; a tag holds 8000."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of one metric; always finite."""

    name: str
    value: FiniteFloat
    step: int
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something to write to one run. Plain values only, so that it can wait anywhere, and be written twice."""

    trial_id: int | None
    """None for the sweep's own run."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    artifact: Path | None = None
    status: RunStatus | None = None
    start_ms: int | None = None
    end_ms: int | None = None


def begun(tags: Mapping[str, str], time_ms: int) -> Entry:
    """The sweep began, or goes on in a new generation."""
    return Entry(trial_id=None, tags=tags, status="RUNNING", start_ms=time_ms)


def started(trial_id: int, params: Params, parent: Parent | None, time_ms: int) -> Entry:
    """A trial began; one that goes on from another's state says from whose, and after which epoch."""
    texts = {_name(path): _text(value) for path, value in params.items()}
    tags = {} if parent is None else {"hpo.parent": str(parent.trial_id), "hpo.parent_epoch": str(parent.epoch)}
    return Entry(trial_id=trial_id, params=texts, tags=tags, status="RUNNING", start_ms=time_ms)


def reported(report: Report, time_ms: int) -> Entry:
    """A trial was measured. Metrics that are not finite are named in a tag: as numbers they would break every chart."""
    tags = {}
    not_finite = [name for name, value in report.metrics.items() if not math.isfinite(value)]
    if not_finite:
        tags["hpo.not_finite"] = f"{', '.join(not_finite)} at epoch {report.epoch}"
    return Entry(trial_id=report.trial_id, tags=tags, points=_points(report.metrics, report.epoch, time_ms))


def ended(trial_id: int, end: End, metric: str, time_ms: int) -> Entry:
    """A trial is over.

    Every trial gets the metric `epochs`, and those that are complete get `final_<metric>`: one number per trial, all
    measured at full length or, with early stopping, at the best epoch. That is the column to sort by and the axis to
    compare on; the series of `<metric>` itself ends at epoch 1 for one trial and at the last for another.
    """
    scalars: dict[str, float] = {"epochs": end.epoch}
    if end.kind is EndKind.COMPLETE and end.value is not None:
        scalars[f"final_{metric}"] = end.value
    return Entry(
        trial_id=trial_id,
        tags={"hpo.end": end.kind.value, **_reason_tags(end)},
        points=_points(scalars, 0, time_ms),
        status="FAILED" if end.kind in (EndKind.FAILED, EndKind.TIMED_OUT) else "FINISHED",
        end_ms=time_ms,
    )


def left_open(trial_id: int, status: SweepStatus, time_ms: int) -> Entry:
    """The sweep is over or paused before the trial was."""
    return Entry(trial_id=trial_id, status="SCHEDULED" if status is SweepStatus.PAUSED else "KILLED", end_ms=time_ms)


def finished(summary: Mapping[str, float | int | str], status: SweepStatus, time_ms: int) -> Entry:
    """The sweep is over or paused: numbers of the summary become metrics of its run, everything else tags."""
    numbers = {name: float(value) for name, value in summary.items() if not isinstance(value, str)}
    texts = {f"hpo.{name}": value for name, value in summary.items() if isinstance(value, str)}
    bad = {f"hpo.{name}": "not finite" for name, value in numbers.items() if not math.isfinite(value)}
    return Entry(
        trial_id=None,
        tags={"hpo.status": status.value, **texts, **bad},
        points=_points(numbers, 0, time_ms),
        status=_SWEEP_STATUS[status],
        end_ms=time_ms,
    )


def added(metrics: Mapping[str, float], time_ms: int) -> Entry:
    """More numbers of the sweep, which is over; how it ended stays as it is."""
    return Entry(trial_id=None, points=_points(metrics, 0, time_ms))


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """As few entries as MLflow's limits allow, in order for each run.

    The sweep's own run comes last, so that it is not shown as finished before its trials are there; only to make it
    comes first, for they nest in it.
    """
    by_run: dict[int | None, list[Entry]] = {}
    for entry in entries:
        parts = by_run.setdefault(entry.trial_id, [])
        if parts and _fits(parts[-1], entry):
            parts[-1] = _joined(parts[-1], entry)
        else:
            parts.append(entry)
    of_sweep = by_run.pop(None, [])
    making = [Entry(trial_id=None, start_ms=entry.start_ms) for entry in of_sweep[:1] if entry.start_ms is not None]
    return making + [entry for parts in by_run.values() for entry in parts] + of_sweep


def to_line(entry: Entry) -> bytes:
    """As a line of JSON, without what it does not say."""
    tree = {name: value for name, value in vars(entry).items() if value is not None and value not in ({}, ())}
    if entry.points:
        tree["points"] = [(point.name, point.value, point.step, point.time_ms) for point in entry.points]
    if entry.artifact is not None:
        tree["artifact"] = str(entry.artifact)
    return _ENCODE(tree).encode() + b"\n"


def from_line(line: bytes) -> Entry:
    """What `to_line` was given.

    Raises:
        ValueError: if the line is damaged.
    """
    try:
        tree = json.loads(line)
        points = tuple(Point(name=n, value=v, step=s, time_ms=t) for n, v, s, t in tree.pop("points", ()))
        artifact = Path(tree.pop("artifact")) if "artifact" in tree else None
        entry = Entry(trial_id=tree.pop("trial_id", None), points=points, artifact=artifact, **tree)
        return _ENTRY.validate_python(vars(entry) | {"points": tuple(map(vars, points))})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"must be a line that hpo wrote, but got {line[:80]!r}") from error


_ENTRY = TypeAdapter(Entry)
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_SWEEP_STATUS: dict[SweepStatus, RunStatus] = {
    SweepStatus.FINISHED: "FINISHED",
    SweepStatus.PAUSED: "SCHEDULED",
    SweepStatus.CANCELLED: "KILLED",
    SweepStatus.FAILED: "FAILED",
}


def _points(metrics: Mapping[str, float], step: int, time_ms: int) -> tuple[Point, ...]:
    return tuple(
        Point(name=_name(name), value=float(value), step=step, time_ms=time_ms)
        for name, value in metrics.items()
        if math.isfinite(value)
    )


def _name(name: str) -> str:
    """With the characters that MLflow takes; a name with any other would be refused."""
    return re.sub(r"[^\w./: -]", "_", name)


def _reason_tags(end: End) -> dict[str, str]:
    """Each reason by its name; a traceback becomes the run's description, which MLflow shows first."""
    tags = {f"hpo.{name}": _text(value) for name, value in end.reason.items() if name != "traceback"}
    traceback = end.reason.get("traceback")
    if traceback is not None:
        tags["mlflow.note.content"] = f"```\n{masked(str(traceback))[-MAX_TRACEBACK:]}\n```"
    return tags


def _text(value: ParamValue) -> str:
    """As one writes it in a sweep file; no password of an address."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return str(list(value))
        case _:
            return masked(str(value))


def _fits(first: Entry, second: Entry) -> bool:
    num_points = len(first.points) + len(second.points)
    num_tags = len(first.tags) + len(second.tags)
    num_params = len(first.params) + len(second.params)
    has_artifact = first.artifact is not None or second.artifact is not None
    within = max(num_tags, num_params) <= MAX_TAGS and num_points + num_tags + num_params <= MAX_ITEMS
    return within and not has_artifact


def _joined(first: Entry, second: Entry) -> Entry:
    return replace(
        first,
        params={**first.params, **second.params},
        tags={**first.tags, **second.tags},
        points=first.points + second.points,
        status=second.status or first.status,
        start_ms=second.start_ms if first.start_ms is None else first.start_ms,
        end_ms=first.end_ms if second.end_ms is None else second.end_ms,
    )
