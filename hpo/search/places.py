"""Where a study is kept."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shared:
    """Among others in a PostgreSQL database."""

    url: str
    """postgresql://...; `${NAME}` in it stands for a variable of the environment."""
    name: str
    """Of the study; that of the sweep."""


Place = Path | Shared
"""A path is that of a SQLite file of the study's own."""
