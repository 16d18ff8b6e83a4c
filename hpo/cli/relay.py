"""A command of hpo as a job on a cluster's head: `python -m hpo.cli.relay --version V [--keep FOLDER] -- ls --json`.

What it writes is marked line by line, for Ray's log mixes it with other things. Its current folder is that which
`HPO_HOME` names, else `~/hpo`: there lie `runs`, MLflow's database, and whatever else goes by the current folder.
"""

import argparse
import io
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import TextIO

from hpo.cluster.marks import ERR, OUT
from hpo.errors import ClusterError, HpoError

HOME = "HPO_HOME"


class Marked(io.TextIOBase):
    """Writes whole lines, each behind a mark."""

    def __init__(self, stream: TextIO, mark: str) -> None:
        self._stream = stream
        self._mark = mark
        self._rest = ""

    def write(self, text: str) -> int:
        """Hold back what is no whole line yet."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._stream.write(f"{self._mark}{line}\n")
        return len(text)

    def flush(self) -> None:
        """So that a reader sees every whole line."""
        self._stream.flush()

    def end(self) -> None:
        """Write what is left as a line of its own."""
        if self._rest:
            self.write("\n")
        self.flush()


def main(arguments: list[str]) -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args(arguments)
    marked = Marked(sys.stdout, OUT), Marked(sys.stderr, ERR)
    sys.stdout, sys.stderr = marked
    try:
        settle(asked.version, asked.keep)
        return _run(asked.command)
    except HpoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        for stream in marked:
            stream.end()


def settle(version: str, keep: Path | None) -> None:
    """Go to where sweeps lie on this machine, with what came with the job.

    Raises:
        ClusterError: if another version of hpo asks, or another sweep has the folder to `keep` things in.
    """
    ours, came_with = metadata.version("hpo"), Path.cwd()
    if version != ours:
        raise ClusterError(
            f"hpo must have one version here and on the cluster, but {version} asks {ours}. Install one."
        )
    home = Path(os.environ.get(HOME) or "~/hpo").expanduser()
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    for name in ("HPO_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        os.environ.pop(name, None)  # this is where they lead to
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != came_with.resolve()]
    if keep is not None:
        _keep(came_with, keep.absolute())


def _keep(folder: Path, to: Path) -> None:
    """Copy what came with the job to where it lasts, and import from there."""
    try:
        to.parent.mkdir(parents=True)
    except FileExistsError:
        raise ClusterError(f"{to.parent}: the id of a sweep must be new, but is taken. Choose another.") from None
    shutil.copytree(folder, to)
    sys.path.append(str(to))


def _run(command: list[str]) -> int:
    from hpo.cli import app

    try:
        app(command, prog_name="hpo")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
