"""Where the tests of this room keep what waits."""

from pathlib import Path

import pytest


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox.jsonl"
