"""Where a tracking URI points."""

from pathlib import Path

_SQLITE = "sqlite:///"
LONGEST_NAME = 200
"""Bytes of an experiment's name; file systems take 255."""
MOST_SHOWN = 60
"""Characters of it that a message repeats."""


def absolute(uri: str) -> str:
    """`uri`, a relative SQLite path resolved against the current folder; one with `${NAME}` in it as it is."""
    path = database(uri)
    _, mark, options = uri.partition("?")
    return uri if path is None or "${" in uri else f"{_SQLITE}{path}{mark}{options}"


def database(uri: str) -> Path | None:
    """The file of a local SQLite store; none for every other store."""
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).absolute() if uri.startswith(_SQLITE) else None


def artifact_folder(uri: str, experiment: str) -> Path | None:
    """Where artifacts of a local SQLite store lie: beside the database, so that both move together."""
    path = database(uri)
    return None if path is None else path.parent / "mlruns" / experiment.replace("/", "-")


def as_folder_name(experiment: str) -> str:
    """`experiment`, once it is known to name a folder of its own.

    Raises:
        ValueError: if it does not.
    """
    if experiment in (".", "..") or not experiment.isprintable() or len(experiment.encode()) > LONGEST_NAME:
        raise ValueError(
            f"must be printable text of at most {LONGEST_NAME} bytes, and neither . nor .., for artifacts lie in a "
            f"folder of that name, but got {experiment[:MOST_SHOWN]!a}."
        )
    return experiment
