"""The commands. Each imports what it needs when it runs, so that `hpo --help` answers at once."""

from hpo.cli.main import app

__all__ = ["app"]
