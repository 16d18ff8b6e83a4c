"""A report on a sweep, whether it runs, is paused or is over; its driver is not disturbed."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from hpo.config import JsonTree
from hpo.ensembles.confidence import Bin
from hpo.errors import DataError, EnsembleError, HpoError
from hpo.folders.folder import check_states, load_splits, open_folder
from hpo.folders.status import State, SweepState, list_states
from hpo.harvest.postscript import postscript
from hpo.harvest.reliability import reliability_of
from hpo.paths import SweepPaths, written_beside
from hpo.records import TrialRecord
from hpo.results.analysis import crowd_text, crowds
from hpo.results.finalists import Finalist, judge
from hpo.results.finals import read_finals
from hpo.results.report import Subject, ToldEnsemble, page
from hpo.results.table import rank
from hpo.search.importance import importances
from hpo.search.reading import read_trials
from hpo.sweep import AnySweep, OwnSweep
from hpo.sweep.advice import advice
from hpo.tracking.entries import Entry
from hpo.training.bundles.reading import first_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written."""

    file: Path
    state: State
    """Of the sweep at that time."""
    is_tracked: bool
    """Whether MLflow is told: not where the sweep is shown nowhere, nor while a driver tells it of the sweep."""


def write_report(paths: SweepPaths, now: datetime, out: Path | None = None) -> Report:
    """Write one page on a sweep as it stands, and leave it with the sweep's run in MLflow.

    Args:
        paths: the sweep's.
        now: when this is.
        out: where to write it, if not in the sweep's folder.

    Raises:
        HpoError: if the sweep cannot be read, or the file cannot be written.
    """
    [state] = list_states([paths], now.timestamp())
    if state.sweep is None:
        raise HpoError(f"{paths.sweep_id}: must be readable for a report, but is not. {state.problem}")
    file = (out or paths.report).absolute()
    text = page(_subject(paths, state, state.sweep, now))
    try:
        with written_beside(file) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HpoError(f"{file}: must be a file that can be written, but {error}. Name another with --out.") from error
    with postscript(state.sweep, paths) as more:
        more.add(Entry(trial_id=None, artifact=file))
    return Report(file=file, state=state.state, is_tracked=more.outbox is not None)


def _subject(paths: SweepPaths, state: SweepState, sweep: AnySweep, now: datetime) -> Subject:
    trials = [] if state.state is State.NOT_BEGUN else read_trials(sweep.storage.place(paths), sweep.space)
    ensemble = _ensemble(paths.ensemble)
    ranked = rank([trial for trial in trials if trial.repeats is None], sweep.metric.goal)
    return Subject(
        sweep_id=paths.sweep_id,
        state=state.state.value,
        ended=state.ended,
        written=f"{now.astimezone():%Y-%m-%d %H:%M %Z}",
        goals=sweep.goals,
        max_epochs=sweep.epochs,
        space=sweep.space,
        optimizer=None if isinstance(sweep, OwnSweep) else sweep.optimizer.kind,
        trials=trials,
        num_epochs=state.num_epochs,
        elapsed_s=state.elapsed_s,
        finalists=_finalists(paths, sweep, trials),
        ensemble=ensemble,
        reliability=[] if ensemble is None else _reliability(paths, ensemble, trials),
        finalized=_finalized(paths.finalized),
        importances=importances(ranked, sweep.space),
        advice=[*advice(sweep), *map(crowd_text, crowds(ranked, sweep.space))],
    )


def _finalists(paths: SweepPaths, sweep: AnySweep, trials: Sequence[TrialRecord]) -> Sequence[Finalist]:
    if sweep.finalists is None:
        return []
    return read_finals(paths.finalists, judge(sweep.finalists, trials, sweep.metric.goal))


def _ensemble(file: Path) -> ToldEnsemble | None:
    if not file.exists():
        return None
    try:
        return ToldEnsemble.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise EnsembleError(
            f"{file}: must be an ensemble as hpo leaves it, but {first_line(error)}. Delete it, and build another."
        ) from error


def _reliability(paths: SweepPaths, ensemble: ToldEnsemble, trials: Sequence[TrialRecord]) -> Sequence[Bin]:
    """Nothing where the data or states that it is measured with are no longer there: the log says why."""
    try:
        sweep = open_folder(paths)
        check_states(sweep.storage.located(paths), trials)
        return reliability_of(ensemble, trials, load_splits(sweep, paths))
    except HpoError as error:
        logger.warning("The report has no reliability diagram: %s", error)
        return []


def _finalized(file: Path) -> JsonTree | None:
    """The table; none where the test split was never opened."""
    if not file.exists():
        return None
    try:
        found: JsonTree = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{file}: must be a table as hpo leaves it, but {error}. Restore it from a copy.") from error
    return found
