"""What every command does: it finds a user's modules, and tells errors as a person would."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from hpo.errors import HpoError
from hpo.paths import written_beside


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


@contextmanager
def written_to(out: Path) -> Iterator[Path]:
    """See `written_beside`; what hinders it is told as a mistake in the command."""
    try:
        with written_beside(out) as beside:
            yield beside
    except OSError as error:
        raise HpoError(f"{out}: must be a file that can be written, but {error}. Name another with --out.") from error
