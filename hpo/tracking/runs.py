"""The runs of one sweep in an MLflow store. Imports MLflow: only the writing thread comes here."""

import getpass
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from hpo.tracking.entries import Entry, Point
from hpo.tracking.location import artifact_folder, database
from hpo.tracking.outbox import RefusedError

SWEEP_TAG = "hpo.sweep"
TRIAL_TAG = "hpo.trial"
Mark = tuple[str, int, float | None]
_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST"}
_CLASSIC_EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
"""Without this tag MLflow asks each visitor whether the experiment is about language models."""


class MlflowRuns:
    """The sweep's run, and one nested in it for each trial; found by tags, made when first written to."""

    def __init__(
        self, client: MlflowClient, experiment_id: str, sweep_id: str, found: Mapping[int | None, str]
    ) -> None:
        """Take over the runs that earlier connections have made: `found`, their ids by trial, None for the sweep's."""
        self._client = client
        self._experiment_id = experiment_id
        self._sweep_id = sweep_id
        self._run_ids = dict(found)
        self._written: dict[int, set[Mark]] = {}

    def write(self, entry: Entry) -> None:
        """See `outbox.Runs`."""
        with _refusals(self._name(entry.trial_id)):
            is_new = entry.trial_id not in self._run_ids
            run_id = self._create(entry) if is_new else self._run_ids[entry.trial_id]
            if entry.artifact is not None:
                _log_artifact(self._client, run_id, entry.artifact)
            self._log(run_id, entry)
            self._set_status(run_id, entry, is_new=is_new)

    def run_id(self, trial_id: int) -> str | None:
        """See `outbox.Runs`."""
        return self._run_ids.get(trial_id)

    def _create(self, entry: Entry) -> str:
        """A run with the tags by which it is found again."""
        tags = {SWEEP_TAG: self._sweep_id, "mlflow.user": _user(), "mlflow.source.name": "hpo"}
        if entry.trial_id is not None:
            parent = self._run_ids.get(None) or self._create(Entry(trial_id=None, start_ms=entry.start_ms))
            tags |= {TRIAL_TAG: str(entry.trial_id), "mlflow.parentRunId": parent}
            self._written[entry.trial_id] = set()
        name = self._name(entry.trial_id)
        run = self._client.create_run(self._experiment_id, start_time=entry.start_ms, tags=tags, run_name=name)
        run_id = str(run.info.run_id)
        self._run_ids[entry.trial_id] = run_id
        return run_id

    def _name(self, trial_id: int | None) -> str:
        return self._sweep_id if trial_id is None else f"{self._sweep_id}/{trial_id}"

    def _log(self, run_id: str, entry: Entry) -> None:
        points = self._unwritten(entry, run_id)
        metrics = [Metric(point.name, point.value, point.time_ms, point.step) for point in points]
        params = [Param(name, value) for name, value in entry.params.items()]
        tags = [RunTag(name, value) for name, value in entry.tags.items()]
        if metrics or params or tags:
            self._client.log_batch(run_id, metrics, params, tags)
        if entry.trial_id is not None and points:
            self._written[entry.trial_id].update(map(_mark, points))

    def _unwritten(self, entry: Entry, run_id: str) -> Collection[Point]:
        """Each point once, and only those that nobody has written. The summary of a sweep is written anew each time."""
        if entry.trial_id is None or not entry.points:
            return entry.points
        if entry.trial_id not in self._written:
            names = self._client.get_run(run_id).data.metrics
            histories = (self._client.get_metric_history(run_id, name) for name in names)
            self._written[entry.trial_id] = {
                _mark(Point(name=point.key, value=point.value, step=point.step, time_ms=point.timestamp))
                for points in histories
                for point in points
            }
        by_mark: dict[Mark, Point] = {}
        for point in entry.points:
            by_mark.setdefault(_mark(point), point)
        return [point for mark, point in by_mark.items() if mark not in self._written[entry.trial_id]]

    def _set_status(self, run_id: str, entry: Entry, *, is_new: bool) -> None:
        match entry.status:
            case None:
                pass
            case "RUNNING":
                if not is_new:
                    self._client.update_run(run_id, status="RUNNING")
            case _:
                self._client.set_terminated(run_id, entry.status, entry.end_ms)
                if entry.trial_id is not None:
                    self._written.pop(entry.trial_id, None)  # read again, if more should come


def open_runs(uri: str, experiment: str, sweep_id: str) -> MlflowRuns:
    """Connect to a store, make what is missing, and find the runs of the sweep."""
    prepare(database(uri))
    client = MlflowClient(uri)
    experiment_id = make_experiment(client, uri, experiment)
    found = find_runs(client, experiment_id, sweep_id)
    return MlflowRuns(client, experiment_id, sweep_id, {trial: run.info.run_id for trial, run in found.items()})


def find_runs(client: MlflowClient, experiment_id: str, sweep_id: str) -> dict[int | None, Run]:
    """The runs of a sweep by trial; None for the sweep's own."""
    found: dict[int | None, Run] = {}
    token = None
    while True:
        page = client.search_runs([experiment_id], f"tags.`{SWEEP_TAG}` = '{sweep_id}'", page_token=token)
        for run in page:
            trial = run.data.tags.get(TRIAL_TAG)
            found[None if trial is None else int(trial)] = run
        token = page.token
        if not token:
            return found


def _mark(point: Point) -> Mark:
    """By what a point is known again: a number that stands for the whole trial is written anew where it has changed."""
    return (point.name, point.step, point.value if point.step == 0 else None)


def prepare(path: Path | None) -> None:
    """Put a fresh SQLite store into WAL mode: the UI reads while we write."""
    if path is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


def make_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment of this name, made if there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    folder = artifact_folder(uri, name)
    return client.create_experiment(name, None if folder is None else folder.as_uri(), _CLASSIC_EXPERIMENT)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def _log_artifact(client: MlflowClient, run_id: str, path: Path) -> None:
    if not path.exists():
        raise RefusedError(f"{path}: an artifact must stay until the sweep has finished, but it is gone.")
    if path.is_dir():
        client.log_artifacts(run_id, str(path), path.name)
    else:
        client.log_artifact(run_id, str(path))


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Tell a request that is wrong from a store that is away."""
    try:
        yield
    except MlflowException as error:
        if error.error_code in _REFUSALS:
            raise RefusedError(f"{name}: {error.message}") from error
        raise
