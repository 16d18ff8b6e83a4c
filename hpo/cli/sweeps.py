"""Sweeps on disk, as the commands read them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import EnsembleError, HpoError
from hpo.export.inference import Tta
from hpo.export.weights import Weights
from hpo.folders.cleaning import Freed, clean_up
from hpo.folders.folder import check_states, load_splits, open_any
from hpo.harvest.harvest import Harvest
from hpo.harvest.prune import Point, prune_trial
from hpo.paths import SweepPaths, find_sweep
from hpo.records import TrialRecord
from hpo.results.finalists import winner
from hpo.results.table import best
from hpo.search.reading import read_trials
from hpo.sweep import AnySweep, load_any, load_sweep
from hpo.tracking import ui
from hpo.training.bundles.card import CARD, Card, read_card
from hpo.training.pruning import Mode

if TYPE_CHECKING:
    from hpo.tracking.registry import Registered


def open_sweep(runs: Path, sweep_id: str) -> tuple[AnySweep, SweepPaths, list[TrialRecord]]:
    """A sweep as it was asked for, where it lies, and its trials so far."""
    paths = find_sweep(runs, sweep_id)
    sweep = open_any(paths)
    return sweep, paths, read_trials(sweep.storage.place(paths), sweep.space)


def open_trial(runs: Path, which: str) -> tuple[TrialRecord, list[TrialRecord], AnySweep, SweepPaths]:
    """The trial that `ID/TRIAL` names, or the best one of `ID`; with all trials, the sweep, and where it lies."""
    sweep_id, slash, number = which.partition("/")
    sweep, paths, records = open_sweep(runs, sweep_id)
    goal = sweep.metric.goal
    trial = (
        _numbered(records, which, number) if slash else winner(sweep.finalists, records, goal) or best(records, goal)
    )
    return trial, records, sweep, paths


def export_sweep(
    runs: Path,
    which: str,
    folder: Path,
    *,
    tta: Tta | None = None,
    fold_norms: bool | None = None,
    weights: Weights | None = None,
    onnx: bool | None = None,
) -> Card:
    """Write the bundle of `ID/TRIAL`, of the best trial of `ID`, or of `ID/ensemble`; as asked, else as in the file."""
    sweep_id, _, part = which.partition("/")
    is_ensemble = part == "ensemble"
    trial, records, _, paths = open_trial(runs, sweep_id if is_ensemble else which)
    sweep = load_sweep(paths.resolved)
    check_states(sweep.storage.located(paths), records if is_ensemble else [trial])
    formats = None if onnx is None else ("pt2", "onnx") if onnx else ("pt2",)
    told = {"tta": tta, "fold_norms": fold_norms, "weights": weights, "formats": formats}
    asked = sweep.export.model_copy(update={name: to for name, to in told.items() if to is not None})
    harvest = Harvest(sweep, paths, load_splits(sweep, paths), records)
    if is_ensemble:
        if weights is not None:
            raise EnsembleError("an ensemble's members have their weights as they were selected: drop --weights.")
        return read_card(harvest.export_ensemble(folder, harvest.assemble(harvest.kind), asked=asked))
    return read_card(harvest.export_trial(folder, trial, asked=asked))


def register_model(runs: Path, which: str, name: str, alias: str | None, uri: str | None) -> "Registered":
    """Register the bundle in the folder `which`, or a fresh one of `ID/TRIAL`, or of the best trial of `ID`."""
    from hpo.harvest.registering import register_bundle

    if (Path(which) / CARD).is_file():
        return register_bundle(Path(which), name, alias, uri or ui.DEFAULT)
    sweep = load_sweep(find_sweep(runs, which.partition("/")[0]).resolved)
    store = uri or (sweep.tracking.uri if sweep.tracking is not None else ui.DEFAULT)
    with tempfile.TemporaryDirectory() as folder:
        export_sweep(runs, which, Path(folder) / "bundle", onnx=True)
        return register_bundle(Path(folder) / "bundle", name, alias, store)


def prune_sweep(
    runs: Path, which: str, folder: Path, *, mode: Mode, amounts: Sequence[float], num_epochs: int
) -> list[Point]:
    """Prune the trial `ID/TRIAL`, or the best one of `ID`."""
    trial, _, _, paths = open_trial(runs, which)
    sweep = load_sweep(paths.resolved)
    check_states(sweep.storage.located(paths), [trial])
    splits = load_splits(sweep, paths)
    return prune_trial(folder, sweep, paths, splits, trial, mode=mode, amounts=amounts, num_epochs=num_epochs)


def clean_up_sweep(runs: Path, sweep_id: str, keep: int | None) -> Freed:
    """Let go what nobody needs of a sweep; see `clean_up`."""
    paths = find_sweep(runs, sweep_id)
    return clean_up(paths, open_any(paths), keep)


def serve(runs: Path, sweep_id: str | None, uri: str | None, port: int) -> None:
    """Serve MLflow's pages until Ctrl-C; says where the sweep is."""
    sweep, paths = _sweep_to_show(runs, sweep_id)
    store = uri or (sweep.tracking.uri if sweep is not None and sweep.tracking is not None else ui.DEFAULT)
    server = ui.start(store, port)
    try:
        page = ui.url(port)
        if sweep is not None and paths is not None:
            page = ui.url_of_sweep(page, sweep.experiment, paths.sweep_id)
        print(f"MLflow shows it at {page}\nCtrl-C ends it.", flush=True)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait()


def _sweep_to_show(runs: Path, sweep_id: str | None) -> tuple[AnySweep | None, SweepPaths | None]:
    if sweep_id is None:
        return None, None
    paths = find_sweep(runs, sweep_id)
    return load_any(paths.resolved), paths


def _numbered(records: list[TrialRecord], which: str, number: str) -> TrialRecord:
    for record in records:
        if str(record.trial_id) == number:
            return record
    known = f"from 0 to {records[-1].trial_id}" if records else "but it has none yet"
    raise HpoError(f"{which}: after the slash must stand the number of a trial of this sweep, {known}.")
