"""Where a tracking URI points."""

from pathlib import Path

_SQLITE = "sqlite:///"


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
