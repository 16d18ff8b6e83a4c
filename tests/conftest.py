"""For every test; a fresh MLflow database is a copy of one that was made once, for its schema takes seconds."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Postgres, postgres

# Before torch, Ray and MLflow are imported: one thread per test process, and nobody is told about our tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hpo.tracking.environment import quieten

    quieten()
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_database, path)
    return f"sqlite:///{path}"
