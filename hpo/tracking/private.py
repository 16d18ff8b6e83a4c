"""A run of MLflow's in a database of its own, for one program that logs to the run it finds in its environment.

Nobody else writes there, so that no server can be away and nothing is logged twice. It is read by sqlite3 alone, for
MLflow takes seconds to import; only to make the first such database it is needed.
"""

import math
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

from hpo.tracking.environment import QUIET, quieten

BUSY_S = 20.0
"""How long it is waited for the program to finish a write."""
OTHERS = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI")
"""Variables of the environment that would speak of another experiment or store."""


@dataclass(frozen=True, kw_only=True)
class BlankRun:
    """A database that holds a run and nothing else: to make one takes seconds, a copy milliseconds."""

    database: bytes
    run_id: str
    experiment_id: str


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A metric, as it was logged."""

    name: str
    value: float
    """Perhaps not finite."""
    step: int
    at_s: float
    """In seconds since 1970, as the program says."""


@cache
def make_blank() -> BlankRun:
    """Make one, once in each process."""
    quieten()
    from mlflow import MlflowClient  # noqa: PLC0415 - seconds, and only here

    with TemporaryDirectory(prefix="hpo-") as folder:
        file = Path(folder) / "mlflow.db"
        client = MlflowClient(f"sqlite:///{file}")
        experiment_id = client.create_experiment("program")
        run_id = client.create_run(experiment_id).info.run_id
        return BlankRun(database=file.read_bytes(), run_id=run_id, experiment_id=experiment_id)


@final
class PrivateRun:
    """A copy of a blank run: what is logged to it is read as it comes."""

    def __init__(self, blank: BlankRun, file: Path, connection: sqlite3.Connection) -> None:
        """See `private_run`."""
        self._blank = blank
        self._file = file
        self._connection = connection
        self._last_row = 0

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """That of a program which is to log here, made of another."""
        return {
            **QUIET,
            **{name: value for name, value in inherited.items() if name not in OTHERS},
            "MLFLOW_TRACKING_URI": f"sqlite:///{self._file}",
            "MLFLOW_EXPERIMENT_ID": self._blank.experiment_id,
            "MLFLOW_RUN_ID": self._blank.run_id,
        }

    def news(self) -> Iterator[Logged]:
        """What was logged since this was last asked, in order."""
        rows = self._connection.execute(
            "SELECT rowid, key, value, is_nan, step, timestamp FROM metrics"
            " WHERE run_uuid = ? AND rowid > ? ORDER BY rowid",
            (self._blank.run_id, self._last_row),
        ).fetchall()
        for row, name, value, is_nan, step, timestamp_ms in rows:
            self._last_row = row
            number = math.nan if is_nan else math.inf if abs(value) >= sys.float_info.max else value
            yield Logged(name=name, value=number, step=step, at_s=timestamp_ms / 1000)


@contextmanager
def private_run(blank: BlankRun, folder: Path) -> Iterator[PrivateRun]:
    """A copy of `blank` in a folder, where artifacts go too."""
    file = folder / "mlflow.db"
    file.write_bytes(blank.database)
    with closing(sqlite3.connect(file, timeout=BUSY_S, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET artifact_uri = ?", (str(folder / "artifacts"),))
        yield PrivateRun(blank, file, connection)
