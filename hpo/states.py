"""The files of training states: all that is done with them as files, but for writing and reading them."""

from pathlib import Path


def size_of(state: str) -> int | None:
    """In bytes; none if there is no such file."""
    try:
        return Path(state).stat().st_size
    except FileNotFoundError:
        return None


def discard(state: str) -> None:
    """Let it be gone."""
    Path(state).unlink(missing_ok=True)


def list_states(folder: Path) -> dict[str, int]:
    """The size of every file in the folders of trials under `folder`, half-written ones too."""
    return {str(file): file.stat().st_size for file in sorted(folder.glob("*/*"))}
