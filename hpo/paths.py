"""Every file name of a sweep, in one place."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import SweepNotFoundError

NO_SWEEP = "no sweep begins with"
NUM_NAMED = 8
"""Sweeps that a message names, the newest first."""


@dataclass(frozen=True)
class SweepPaths:
    """The folder of one sweep; its name is the sweep's id."""

    root: Path
    remote: str | None = None
    """Address of a store in which training states lie in a folder of the sweep's own; none: they lie here."""

    @property
    def sweep_id(self) -> str:
        """The short name under which commands find the sweep."""
        return self.root.name

    @property
    def resolved(self) -> Path:
        """The sweep file with every default written out."""
        return self.root / "resolved.yaml"

    @property
    def code(self) -> Path:
        """The folders from which the sweep's own modules were imported."""
        return self.root / "code.json"

    @property
    def shipped(self) -> Path:
        """What came with the sweep to a cluster: the folder of whoever submitted it, in which all its files lie."""
        return self.root / "code"

    @property
    def parents(self) -> Path:
        """Which bundles the trials read, as they were when the sweep began; where there are any."""
        return self.root / "parents.json"

    @property
    def data(self) -> Path:
        """The digest of the data that the sweep began with."""
        return self.root / "data.json"

    @property
    def study(self) -> Path:
        """Optuna's SQLite database."""
        return self.root / "study.db"

    @property
    def lock(self) -> Path:
        """Held by the one driver of the sweep."""
        return self.root / "driver.lock"

    @property
    def notice(self) -> Path:
        """What the driver says of itself; gone when it has left everything in order."""
        return self.root / "notice.json"

    @property
    def log(self) -> Path:
        """What its drivers have said."""
        return self.root / "driver.log"

    @property
    def stop(self) -> Path:
        """There, if no more trials may be proposed."""
        return self.root / "stop"

    @property
    def outbox(self) -> Path:
        """What MLflow has yet to be told; gone when it knows all."""
        return self.root / "outbox.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Training states, one folder per trial; where they lie here."""
        return self.root / "checkpoints"

    @property
    def states(self) -> str:
        """Where training states lie in truth: a path, or an address in a store."""
        return str(self.checkpoints) if self.remote is None else below(self.remote, self.sweep_id)

    @property
    def ray(self) -> Path:
        """Ray Tune's own bookkeeping; nothing there is ever read again."""
        return self.root / "ray"

    @property
    def leaderboard(self) -> Path:
        """The table of all trials, best first."""
        return self.root / "leaderboard.csv"

    @property
    def lr_range(self) -> Path:
        """The curve of the learning-rate range test, where there was one."""
        return self.root / "lr_range"

    @property
    def bundle(self) -> Path:
        """The exported best model."""
        return self.root / "best"

    @property
    def ensemble(self) -> Path:
        """Who is in the ensemble, and what it is worth."""
        return self.root / "ensemble.json"

    @property
    def ensemble_bundle(self) -> Path:
        """The exported ensemble."""
        return self.root / "ensemble"

    @property
    def finalists(self) -> Path:
        """How finalists did on fresh luck, by all that their repetitions have left."""
        return self.root / "finalists.json"

    @property
    def long_run(self) -> Path:
        """What became of the best recipe, trained once for as long as all members of an ensemble together."""
        return self.root / "long_run.json"

    @property
    def finalized(self) -> Path:
        """What everything was worth on the test split, and when that was opened."""
        return self.root / "finalized.json"

    @property
    def report(self) -> Path:
        """One page on the sweep, with plots."""
        return self.root / "report.html"

    def outputs(self, trial_id: int) -> Path:
        """What the program of a trial has said, on the node that it has run on."""
        return self.root / "programs" / f"trial-{trial_id:05d}"

    def checkpoint(
        self, trial_id: int, epoch: int, generation: int, attempt: int, *, suffix: str = "safetensors"
    ) -> str:
        """A fenced name: a worker that outlives its driver never writes over its successor's file."""
        name = f"epoch-{epoch:05d}-g{generation}-a{attempt}.{suffix}"
        return below(self.states, f"trial-{trial_id:05d}/{name}")


def find_sweep(runs: Path, sweep_id: str) -> SweepPaths:
    """The sweep under `runs` whose id is `sweep_id` or begins with it.

    Raises:
        SweepNotFoundError: if no sweep, or more than one, answers to it.
    """
    known = list_sweeps(runs)
    exact = [paths for paths in known if paths.sweep_id == sweep_id]
    matches = exact or [paths for paths in known if paths.sweep_id.startswith(sweep_id)]
    if len(matches) == 1:
        return matches[0]
    names = [paths.sweep_id for paths in reversed(matches or known)]
    there = f"There: {', '.join(names[:NUM_NAMED])}{', ...' if len(names) > NUM_NAMED else ''}." if names else ""
    rule, remedy = (
        ("more than one sweep begins with", "Give a longer id.")
        if matches
        else (NO_SWEEP, "See hpo ls, or name the folder of the sweeps: --runs FOLDER.")
    )
    raise SweepNotFoundError(" ".join(filter(None, (f"{rule} {sweep_id!r} under {runs}.", there, remedy))))


def list_sweeps(runs: Path) -> list[SweepPaths]:
    """All sweeps under `runs`, oldest first; by absolute paths, for workers have a current folder of their own."""
    found = [path for path in runs.absolute().glob("*/resolved.yaml") if path.is_file()]
    found.sort(key=lambda path: path.stat().st_mtime)
    return [SweepPaths(path.parent) for path in found]


def below(folder: str, path: str) -> str:
    """What lies at `path` in a folder that is a path itself, or an address with options behind it."""
    whole, options = split_options(folder)
    return f"{whole.rstrip('/')}/{path}{options}"


def split_options(address: str) -> tuple[str, str]:
    """What stands before an address's options, and these from their question mark on; a path has none."""
    whole, mark, options = address.partition("?") if "://" in address else (address, "", "")
    return whole, mark + options


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` if the block succeeds: no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
