"""The folder of a sweep: made when it begins, read when it goes on, changed when it is given more."""

import json
import secrets
import sys
from pathlib import Path
from typing import final

from hpo.origin import write_parents
from hpo.paths import SweepPaths, written_beside
from hpo.scheduling import Budget
from hpo.sweep import Sweep, dump_resolved, load_sweep
from hpo.tracking.location import absolute


def make_folder(sweep: Sweep) -> SweepPaths:
    """A folder of the sweep's own, with an id that is free: all that is needed to go on with it lies there."""
    while True:
        paths = SweepPaths(sweep.storage.checkpoints.absolute() / f"{sweep.name}-{secrets.token_hex(2)}")
        try:
            paths.root.mkdir(parents=True)
        except FileExistsError:
            continue
        with written_beside(paths.code) as beside:
            beside.write_text(json.dumps(_code_folders()) + "\n", encoding="utf-8")
        write_parents(paths.parents, sweep.recipe)
        write_resolved(paths, _anchored(sweep))  # last: with it, it is a sweep
        return paths


def write_resolved(paths: SweepPaths, sweep: Sweep) -> None:
    """The sweep file with every default written out."""
    with written_beside(paths.resolved) as beside:
        beside.write_text(dump_resolved(sweep), encoding="utf-8")


def open_folder(paths: SweepPaths) -> Sweep:
    """The sweep, whose own modules can be imported from now on.

    Raises:
        SweepError: if the resolved file is not a sweep.
    """
    if paths.code.exists():
        folders = json.loads(paths.code.read_text(encoding="utf-8"))
        sys.path += [folder for folder in folders if folder not in sys.path]
    return load_sweep(paths.resolved)


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
        return load_sweep(self._file).budget


def _code_folders() -> list[str]:
    """Where modules are imported from that are not installed."""
    installed = (sys.prefix, sys.base_prefix)
    return [
        str(Path(folder).absolute())
        for folder in sys.path
        if Path(folder).is_dir() and not folder.startswith(installed)
    ]


def _anchored(sweep: Sweep) -> Sweep:
    """With a tracking database that is found from any folder."""
    if sweep.tracking is None:
        return sweep
    tracking = sweep.tracking.model_copy(update={"uri": absolute(sweep.tracking.uri)})
    return sweep.model_copy(update={"tracking": tracking})
