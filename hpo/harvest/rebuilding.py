"""An ensemble of what a sweep has left so far, whether it runs, is paused or is over."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.config import JsonTree
from hpo.ensembles.kinds import Greedy
from hpo.errors import StudyError
from hpo.folders.folder import check_states, load_splits, open_folder, write_resolved
from hpo.harvest.affordable import build
from hpo.harvest.harvest import Harvest
from hpo.harvest.postscript import postscript
from hpo.outcome import numbers_of
from hpo.paths import SweepPaths
from hpo.search.database import owner_of
from hpo.search.reading import read_trials
from hpo.sweep import load_sweep
from hpo.tracking.entries import Entry, added


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What was built."""

    told: JsonTree
    """As it stands in the file."""
    file: Path
    bundles: tuple[Path, ...]


def rebuild_ensemble(paths: SweepPaths, settings: Sequence[str] = (), out: Path | None = None) -> Rebuilt:
    """Leave it with the sweep in place of an earlier one, and say so to MLflow; the sweep's file stays as it is.

    Args:
        paths: the sweep's.
        settings: overrides of the file's `ensemble`, as `ensemble.size=3`.
        out: for one more bundle, in pt2 if the file asks for no format.

    Raises:
        SweepError: if the settings are none of an ensemble's.
        EnsembleError: if there is too little to build it from, or what the kind asks for was not trained; or
            if nothing keeps to the limits of the file's `export`.
        DataError: if the data are not what they were.
    """
    sweep = open_folder(paths)
    kind = load_sweep(paths.resolved, _overrides(settings)).ensemble or Greedy()
    trials = read_trials(sweep.storage.place(paths), sweep.space)
    check_states(sweep.storage.located(paths), trials)
    harvest = Harvest(sweep, paths, load_splits(sweep, paths), trials)
    harvest.refuse_untrained(kind)
    assembly, found = build(harvest, kind)
    sizes = [size.as_tree() for size in found]
    formats, bundles = sweep.export.formats, []
    with postscript(sweep, paths) as more:
        for trial_id, share in harvest.shares(assembly).items():
            more.add(Entry(trial_id=trial_id, tags={"hpo.ensemble_weight": f"{share:g}"}))
        more.add(added(numbers_of(assembly), round(time.time() * 1000)))
        more.add(Entry(trial_id=None, artifact=harvest.write(assembly, sizes)))
        if formats:
            bundles.append(harvest.export_ensemble(paths.ensemble_bundle, assembly, more.run_id))
            more.add(Entry(trial_id=None, artifact=paths.ensemble_bundle))
        if out is not None:
            asked = sweep.export.model_copy(update={"formats": formats or ("pt2",)})
            bundles.append(harvest.export_ensemble(out, assembly, more.run_id, asked))
    return Rebuilt(told={**harvest.describe(assembly), "sizes": sizes}, file=paths.ensemble, bundles=tuple(bundles))


def ask_for(paths: SweepPaths, settings: Sequence[str]) -> None:
    """Set an ensemble in the sweep's file, so that its next driver trains what it asks for, and builds it.

    Raises:
        SweepError: if the settings are none of an ensemble's.
        StudyError: if the sweep has a driver, which does not hear of it.
    """
    asked = load_sweep(paths.resolved, _overrides(settings))
    if (driver := owner_of(asked.storage.place(paths))) is not None:
        raise StudyError(f"{paths.sweep_id}: must have no driver for this, but {driver} drives it. Wait, or pause it.")
    write_resolved(paths, asked.model_copy(update={"ensemble": asked.ensemble or Greedy()}))


def _overrides(settings: Sequence[str]) -> list[str]:
    """With `ensemble.kind` first, and in place of the whole section: no kind has all settings of another."""
    kinds = [text.partition("=")[2] for text in settings if text.startswith("ensemble.kind=")]
    rest = [text for text in settings if not text.startswith("ensemble.kind=")]
    return [*(f"ensemble={{kind: {kind}}}" for kind in kinds), *rest]
