"""clean_up(): what nobody needs of a sweep's folder goes."""

import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from hpo.driver.shelf import best_first, surplus
from hpo.errors import StudyError
from hpo.files import discard, list_files
from hpo.harvest.assembly import read_left
from hpo.paths import SweepPaths, split_options
from hpo.records import TrialRecord
from hpo.scheduling import Pbt
from hpo.search.database import owner_of
from hpo.search.places import Place
from hpo.search.reading import read_trials
from hpo.search.storage import owned
from hpo.sweep import AnySweep

HALF_WRITTEN = re.compile(r"\..+\.[a-z0-9_]{8}")
"""Names of files and folders that are to be renamed when they are whole; a kill leaves them."""


@dataclass(frozen=True, kw_only=True)
class Freed:
    """What has gone, and what is left."""

    num_states: int
    """Of trials that have ended, and were not among the best."""
    num_strays: int
    """States that no trial refers to, and files that were never whole."""
    num_bytes: int
    """Of these, and of Ray Tune's bookkeeping."""
    left_bytes: int
    """Of states that are left."""


def clean_up(paths: SweepPaths, sweep: AnySweep, keep: int | None = None) -> Freed:
    """Remove what is half-written, what no trial refers to, and Ray Tune's bookkeeping; then states, to keep within.

    States that trials go on from are kept, the winner's, and those of the ensemble that was left with the sweep: it can
    be resumed, and its best be exported.

    Args:
        paths: the sweep's.
        sweep: read from there.
        keep: how many bytes states may take; none: `storage.keep`.

    Raises:
        StudyError: if a driver has the sweep.
    """
    place = sweep.storage.place(paths)
    if (driver := owner_of(place)) is not None:
        raise StudyError(
            f"{paths.sweep_id}: a study has one driver at a time, but {driver} has it. Wait until it ends, or say "
            f"hpo pause {paths.sweep_id}."
        )
    with owned(paths.lock):
        half_written = _half_written(paths)
        num_bytes = sum(map(_remove, [paths.ray, *half_written]))
        is_there = not isinstance(place, Path) or place.exists()
        sizes = list_files(sweep.storage.located(paths).states) if is_there else {}
        trials = _trials(place, sweep) if is_there else []
        left_ensemble = read_left(paths.ensemble)
        members = set() if left_ensemble is None else {member.trial_id for member in left_ensemble.members}
        strays, ended = _unneeded(trials, list(sizes), sweep, members)
        left = {state: size for state, size in sizes.items() if state not in strays}
        most = keep or sweep.storage.keep
        dropped = [] if most is None else surplus(ended, left, most)
        for state in (*strays, *dropped):
            discard(state)
        _remove_empty(paths.checkpoints)
    return Freed(
        num_states=len(dropped),
        num_strays=len(half_written) + len(strays),
        num_bytes=num_bytes + sum(sizes[state] for state in (*strays, *dropped)),
        left_bytes=sum(left.values()) - sum(sizes[state] for state in dropped),
    )


def _trials(place: Place, sweep: AnySweep) -> list[TrialRecord]:
    """Of a file, from a copy elsewhere: SQLite writes beside what it only reads, and on a full disk it cannot."""
    if not isinstance(place, Path):
        return read_trials(place, sweep.space)
    with tempfile.TemporaryDirectory(prefix="hpo-") as folder:
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copy(f"{place}{suffix}", folder)
        return read_trials(Path(folder) / place.name, sweep.space)


def _half_written(paths: SweepPaths) -> list[Path]:
    """But for what a doctor may be writing now."""
    found = [*paths.root.glob(".*"), *paths.checkpoints.glob("*/.*")]
    ours = [path for path in found if HALF_WRITTEN.fullmatch(path.name)]
    return [path for path in ours if not path.name.startswith(f".{paths.outbox.name}.")]


def _unneeded(
    trials: Sequence[TrialRecord], states: Sequence[str], sweep: AnySweep, members: Collection[int]
) -> tuple[set[str], list[str]]:
    """Of `states` those that no trial refers to, and the last ones of trials that have ended, the best first.

    Among the latter is neither the winner's nor that of one of the `members` of an ensemble.
    """
    needed = {_name(state) for state in _needed(trials, is_population=isinstance(sweep.chosen.scheduler, Pbt))}
    ranked = [trial for trial in best_first(trials, sweep.goals) if trial.checkpoint is not None]
    needed |= {_name(str(trial.checkpoint)) for trial in ranked if trial is ranked[0] or trial.trial_id in members}
    names = [_name(str(trial.checkpoint)) for trial in ranked]
    by_name = {_name(state): state for state in states}
    strays = {state for name, state in by_name.items() if name not in {*needed, *names}}
    return strays, [by_name[name] for name in names if name in by_name.keys() - needed]


def _name(state: str) -> str:
    """Of a state in any folder of states: the sweep's own may have moved since."""
    return "/".join(PurePath(split_options(state)[0]).parts[-2:])


def _needed(trials: Sequence[TrialRecord], *, is_population: bool) -> set[str]:
    """States that trials go on from who have not ended; in a population any may be a parent's, while it trains."""
    going = [trial for trial in trials if trial.end is None]
    if is_population and going:
        return {state for trial in trials for state in trial.states.values()}
    return {trial.checkpoint for trial in going if trial.checkpoint is not None}


def _remove(path: Path) -> int:
    """How many bytes it took, be it a file, a folder or nothing."""
    inside = path.rglob("*") if path.is_dir() else [path]
    num_bytes = sum(file.lstat().st_size for file in inside if file.is_file() or file.is_symlink())
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return num_bytes


def _remove_empty(folder: Path) -> None:
    for inside in folder.glob("*/"):
        if not any(inside.iterdir()):
            inside.rmdir()
