"""The folder of a sweep: made when it begins, read when it goes on, changed when it is given more."""

import json
import re
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import final

from hpo.errors import DataError, HpoError, ResourceError, StudyError
from hpo.files import check_writable
from hpo.folders.origin import write_parents
from hpo.paths import SweepPaths, split_options, written_beside
from hpo.records import TrialRecord
from hpo.scheduling import Budget
from hpo.search.database import check_answers
from hpo.sweep import AnySweep, Sweep, dump_resolved, load_any, load_sweep
from hpo.tracking.location import absolute
from hpo.training.data import Splits

ID = r"[a-z0-9][a-z0-9_-]*"
"""Of a sweep: its name, with a little behind it."""


def make_id(sweep: AnySweep) -> str:
    """A short name that begins with the sweep's."""
    return f"{sweep.name}-{secrets.token_hex(2)}"


def check_id(sweep_id: str) -> None:
    """See that an id names one folder, and that no job of another sweep, as `ID.2` is one, could be taken for its own.

    Raises:
        HpoError: if it does not.
    """
    if re.fullmatch(ID, sweep_id) is None:
        raise HpoError(f"--id: must be lower-case letters, digits, - and _, but got {sweep_id!r}. Choose another.")


def make_folder(sweep: AnySweep, digest: str | None = None, sweep_id: str | None = None) -> SweepPaths:
    """A folder of the sweep's own, with an id that is free: all that is needed to go on with it lies there.

    Args:
        sweep: to begin.
        digest: of its data, which `load_splits` will ask for; none where there are none.
        sweep_id: the id, whose folder may hold what was shipped with the sweep; one is made up where none is given.

    Raises:
        ResourceError: if it cannot be made.
        HpoError: if there is a sweep of that id, or it is none.
        HpoError: if the study's database, or the store of its checkpoints, does not answer.
    """
    if sweep_id is not None:
        check_id(sweep_id)
    while True:
        paths = SweepPaths(sweep.storage.folder.absolute() / (sweep_id or make_id(sweep)))
        check_answers(sweep.storage.place(paths))
        check_writable(sweep.storage.located(paths).states)
        try:
            paths.root.mkdir(parents=True, exist_ok=paths.shipped.is_dir() and not paths.resolved.exists())
        except FileExistsError:
            if sweep_id is None:
                continue
            raise HpoError(f"{paths.root}: the id of a sweep must be new, but is taken. Choose another.") from None
        except OSError as error:
            raise ResourceError(
                f"storage.checkpoints: must be a folder that can be written to, but {error}. Name another."
            ) from error
        with written_beside(paths.code) as beside:
            beside.write_text(json.dumps(_code_folders()) + "\n", encoding="utf-8")
        if digest is not None:
            with written_beside(paths.data) as beside:
                beside.write_text(json.dumps({"digest": digest}) + "\n", encoding="utf-8")
        if isinstance(sweep, Sweep):
            write_parents(paths.parents, sweep.recipe)
        write_resolved(paths, _anchored(sweep))  # last: with it, it is a sweep
        return paths


def write_resolved(paths: SweepPaths, sweep: AnySweep) -> None:
    """The sweep file with every default written out."""
    with written_beside(paths.resolved) as beside:
        beside.write_text(dump_resolved(sweep), encoding="utf-8")


def open_folder(paths: SweepPaths) -> Sweep:
    """The same, where it must be one of networks that hpo trains.

    Raises:
        HpoError: see `open_any`; or if it is not.
    """
    open_any(paths)
    return load_sweep(paths.resolved)


def open_any(paths: SweepPaths) -> AnySweep:
    """The sweep, whose own modules can be imported from now on.

    Raises:
        SweepError: if the resolved file is not a sweep.
        HpoError: if it is not known where the modules lie.
    """
    sweep = load_any(paths.resolved)
    if paths.code.exists():
        sys.path += [folder for folder in _read_folders(paths.code) if folder not in sys.path]
    return sweep


def load_splits(sweep: Sweep, paths: SweepPaths) -> Splits:
    """The data of a sweep that has begun.

    Raises:
        DataError: if they are not those it began with, or cannot be read.
    """
    splits = sweep.data.load(sweep.seed)
    if paths.data.exists() and (begun := _read_digest(paths.data)) != splits.digest:
        raise DataError(
            f"{paths.sweep_id}: the data are not what they were: their digest must be {begun}, but is {splits.digest}. "
            "Put back the files, and what the sweep's file says of data and seed; or begin a new sweep."
        )
    return splits


def check_states(paths: SweepPaths, trials: Iterable[TrialRecord]) -> None:
    """Hold what a study names as states against the sweep's folder: others are read and deleted by nobody.

    Raises:
        StudyError: if a state lies elsewhere.
    """
    home = paths.states
    for trial in trials:
        for file in trial.states.values():
            if not _lies_in(home, file):
                raise StudyError(
                    f"{paths.study}: trial {trial.trial_id}: every state must lie in {home}, but one is {file}. "
                    "If the sweep was moved, move it back."
                )


def _lies_in(folder: str, file: str) -> bool:
    """Whether a path lies in a folder, links followed; or an address below another one, in the same store."""
    if "://" not in folder:
        return "://" not in file and Path(file).resolve().is_relative_to(Path(folder).resolve())
    (home, store), (path, options) = split_options(folder), split_options(file)
    return path.startswith(f"{home}/") and ".." not in path.split("/") and options == store


@final
class Extensions:
    """Tells a running driver when its sweep was given more."""

    def __init__(self, paths: SweepPaths) -> None:
        """As the file is now."""
        self._file = paths.resolved
        self._seen = self._file.stat().st_mtime_ns

    def take(self) -> Budget | None:
        """The budget, if the file was changed since the last look."""
        seen = self._file.stat().st_mtime_ns
        if seen == self._seen:
            return None
        self._seen = seen
        return load_any(self._file).budget


def _read_digest(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["digest"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise DataError(f"{path}: must hold the digest of the data, but does not ({error!r}). Restore it.") from error


def _read_folders(path: Path) -> list[str]:
    try:
        folders = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HpoError(f"{path}: must be a list of folders, but {error}. Write [] into it, or mend it.") from error
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise HpoError(f"{path}: must be a list of folders, but is something else. Write [] into it, or mend it.")
    return folders


def _code_folders() -> list[str]:
    """Where modules are imported from that are not installed."""
    installed = (sys.prefix, sys.base_prefix)
    return [
        str(Path(folder).absolute())
        for folder in sys.path
        if Path(folder).is_dir() and not folder.startswith(installed)
    ]


def _anchored(sweep: AnySweep) -> AnySweep:
    """With a tracking database that is found from any folder."""
    if sweep.tracking is None:
        return sweep
    tracking = sweep.tracking.model_copy(update={"uri": absolute(sweep.tracking.uri)})
    return sweep.model_copy(update={"tracking": tracking})
