"""The test split, opened: what everything that a sweep has come to is worth."""

import json
from datetime import datetime
from functools import partial

import numpy as np
from pydantic import BaseModel, JsonValue, ValidationError

from hpo.config import JsonTree
from hpo.errors import BundleError, DataError, StudyError
from hpo.export import load_bundle
from hpo.folders.folder import check_states, load_splits, open_folder
from hpo.harvest.contenders import Contender, contenders, size_of
from hpo.harvest.exam import Exam
from hpo.harvest.harvest import Harvest
from hpo.harvest.long_run import train_long_run
from hpo.harvest.postscript import postscript
from hpo.harvest.robustness import robustness
from hpo.paths import SweepPaths, written_beside
from hpo.run import StartExecutor
from hpo.search.database import owner_of
from hpo.search.reading import read_trials
from hpo.tracking.entries import Entry
from hpo.training.bundles.reading import first_line

TOLERANCE = 1e-4
"""Of log-probabilities, and of that times the number, if it is above 1."""


class Openings(BaseModel):
    """What is read again of what an earlier call has left."""

    opened: tuple[str, ...] = ()
    """When the test split was opened, each time."""
    rows: list[JsonValue] = []
    """Of the last table; none where that call was cut short."""
    differences: list[JsonValue] = []
    earlier: list[JsonValue] = []
    """Tables before that."""

    @property
    def tables(self) -> list[JsonValue]:
        """All of them, the first first."""
        if not self.rows:
            return self.earlier
        return [*self.earlier, {"opened": self.opened[-1], "rows": self.rows, "differences": self.differences}]


def finalize_sweep(
    paths: SweepPaths, now: datetime, train: StartExecutor | None = None, *, is_corrupted: bool = False
) -> JsonTree:
    """Hold the ensemble, and all that it must be better than, against the test split; leave the table with the sweep.

    That the split was opened is written before it is, here and to MLflow: who looks twice, chooses by what was seen.
    Earlier tables are kept.

    Args:
        paths: the sweep's.
        now: when this is.
        train: where to train the best recipe for as long as all members together; none: it is a baseline only if it
            has been trained before.
        is_corrupted: whether to tell, too, how robust the best single network and the ensemble are.

    Raises:
        StudyError: if the sweep has a driver.
        DataError: if the data are not what they were, or have no test split.
        EnsembleError: if there is no ensemble to build.
        BundleError: if the exported ensemble does not predict as the table says.
    """
    sweep = open_folder(paths)
    place = sweep.storage.place(paths)
    if (driver := owner_of(place)) is not None:
        raise StudyError(f"{paths.sweep_id}: must be over to be finalized, but {driver} drives it. Wait, or pause it.")
    splits, trials = load_splits(sweep, paths), read_trials(place, sweep.space)
    if splits.test is None:
        raise DataError(
            f"{paths.sweep_id}: there must be a test split for a sweep to be finalized, but its data have none. Begin "
            "a new sweep with data.test above 0, or with test examples of your own."
        )
    check_states(sweep.storage.located(paths), trials)
    harvest = Harvest(sweep, paths, splits, trials)
    assembly = harvest.assemble(harvest.kind)
    if train is not None:
        train_long_run(harvest, size_of(assembly.kind) * sweep.epochs, partial(train, sweep))
    field = contenders(harvest, assembly)
    exam = Exam(harvest.networks, splits.test, sweep.seed)
    before = _openings(paths)
    opened = [*before.opened, now.isoformat(timespec="seconds")]
    record = {
        "sweep": paths.sweep_id,
        "data_digest": splits.digest,
        "num_test": len(splits.test),
        "opened": opened,
        "num_opened": len(opened),
        "earlier": before.tables,
    }
    with postscript(sweep, paths) as more:
        _write(paths, record)
        more.add(Entry(trial_id=None, tags={"hpo.test_opened": str(len(opened)), "hpo.test_opened_at": opened[-1]}))
        record |= exam.table(field)
        record["robustness"] = robustness(exam, field) if is_corrupted else []
        _write(paths, record)
        more.add(Entry(trial_id=None, artifact=paths.finalized.absolute()))
    _check_bundle(harvest, exam, field[-1])
    return record


def _openings(paths: SweepPaths) -> Openings:
    if not paths.finalized.exists():
        return Openings()
    try:
        return Openings.model_validate_json(paths.finalized.read_bytes())
    except ValidationError as error:
        raise DataError(
            f"{paths.finalized}: must say when the test split was opened, but {first_line(error)}. Restore it, or "
            "delete it and remember that it was."
        ) from error


def _write(paths: SweepPaths, record: JsonTree) -> None:
    with written_beside(paths.finalized) as beside:
        beside.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _check_bundle(harvest: Harvest, exam: Exam, ensemble: Contender) -> None:
    """The exported ensemble, where there is one, is the one in the table; as it predicts, with views or without."""
    folder = harvest.paths.ensemble_bundle
    if not folder.exists():
        return
    expected = exam.predict(ensemble, harvest.sweep.export.inference)
    gap = np.abs(load_bundle(folder).predict(exam.examples.x) - expected)
    if not (gap <= TOLERANCE * np.maximum(1, np.abs(expected))).all():  # true of NaN, too
        raise BundleError(
            f"{folder}: must predict the test split as the ensemble in the table, within {TOLERANCE:g}, but differs by "
            f"{gap.max():g}. Build it again: hpo ensemble {harvest.paths.sweep_id}"
        )
