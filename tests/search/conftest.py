"""Where the studies of this folder's tests are kept."""

from pathlib import Path

import pytest

from hpo.search.places import Place, Shared


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder, and after it a study of its own in a PostgreSQL database that others share."""
    if request.param == "sqlite":
        return tmp_path
    server = request.getfixturevalue("shared_postgres")
    return Shared(server.url, tmp_path.name)
