"""What every command does: it finds a user's modules, and tells errors as a person would."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from hpo.errors import HpoError


def make_importable(folder: Path = Path()) -> None:
    """Let Python find a user's own modules there and in the current folder; they take the place of no installed one."""
    sys.path += [str(folder.resolve()), str(Path.cwd())]


@contextmanager
def errors_told() -> Iterator[None]:
    """What a user can mend is told without a traceback."""
    try:
        yield
    except HpoError as error:
        from hpo.cli.text import errors_text, make_console

        make_console(stderr=True).print(errors_text(error), soft_wrap=True)
        raise typer.Exit(1) from None
