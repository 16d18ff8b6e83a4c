"""The line that starts a program: its words, and the places in them that each trial fills."""

import json
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from string import Formatter

from hpo.spaces.spelling import did_you_mean

PLACES = ("from_epoch", "to_epoch", "state_in", "state_out", "seed", "trial_id")
"""What a command may name besides params."""
PYTHON = ("python", "python3")
"""Stand for the Python that runs hpo, on every node."""


def command_problem(command: str, params: Collection[str]) -> str | None:
    """Why a command cannot be filled in, if it cannot."""
    try:
        words = shlex.split(command)
        named = [place for word in words for _, place in _parts(word) if place is not None]
    except ValueError as error:
        return f"must be words as in a shell, with {{{{ and }}}} for braces, but {error}. Mend it."
    if not words:
        return "must name a program, but is empty. Write one."
    for place in named:
        if place not in params and place not in PLACES:
            guess = did_you_mean(place, [*params, *PLACES])
            return (
                f"must name params, or {', '.join(PLACES)}, but {{{place}}} is none.{guess} Add it to params; or write "
                "{{ and }} for braces."
            )
    return None


def filled(command: str, values: Mapping[str, object]) -> list[str]:
    """The words, of which no value makes more than one: numbers, lists and truths as JSON, and text as it is."""
    return ["".join(_texts(word, values)) for word in shlex.split(command)]


def find_program(word: str, folder: Path) -> str | None:
    """Where the first word of a command lies, for a program that runs in `folder`; none if nowhere."""
    if word in PYTHON:
        return sys.executable
    return shutil.which(str(folder / word) if "/" in word else word)


def check_program(command: str, folder: Path) -> None:
    """See that the program is there; a script that Python is to run, too.

    Raises:
        ValueError: if it is not.
    """
    first, *rest = shlex.split(command)
    if find_program(first, folder) is None:
        raise ValueError(f"must begin with a program that runs from {folder}, but {first} is none. Mend the path.")
    script = rest[0] if first in PYTHON and rest else ""
    if script.endswith(".py") and "{" not in script and not (folder / script).is_file():
        raise ValueError(f"must name a script that lies in {folder}, but {script} does not. Mend the path.")


def _texts(word: str, values: Mapping[str, object]) -> Iterator[str]:
    for text, place in _parts(word):
        yield text
        if place is not None:
            value = values[place]
            yield value if isinstance(value, str) else json.dumps(value)


def _parts(word: str) -> Iterator[tuple[str, str | None]]:
    """Text, and the place that follows it, if one does; as it is written, for there are no formats."""
    for text, name, form, conversion in Formatter().parse(word):
        yield text, name and f"{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}"
