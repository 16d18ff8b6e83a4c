"""Files by their address: a path of this machine, or the URI of one in a store that pyarrow opens."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from hpo.errors import StorageError
from hpo.paths import below, written_beside
from hpo.uris import masked

ALL_OR_NOTHING = {"s3", "gcs", "abfs"}
"""Stores in which a file is there as a whole or not at all, by pyarrow's names; elsewhere it is renamed."""
Address = Path | str

_log = logging.getLogger(__name__)


def written(address: Address) -> AbstractContextManager[Path]:
    """A path to write to: what is there if the block succeeds is at `address` then, all of it or nothing.

    Raises:
        OSError: if it cannot be written.
    """
    return _uploaded(str(address)) if _is_remote(address) else written_beside(Path(address))


def fetched(address: Address) -> AbstractContextManager[Path]:
    """A path to read what is at `address` from.

    Raises:
        OSError: if it cannot be read.
    """
    return _downloaded(str(address)) if _is_remote(address) else nullcontext(Path(address))


def discard(address: Address) -> None:
    """Let nothing be at `address`; what a store does not let go of costs room there, and nothing else."""
    if not _is_remote(address):
        Path(address).unlink(missing_ok=True)
        return
    store, path = _opened(str(address))
    try:
        with suppress(FileNotFoundError):
            store.delete_file(path)
    except OSError as error:
        _log.warning("%s cannot be removed: %s", masked(str(address)), error)


def size_of(address: Address) -> int | None:
    """In bytes; none if there is nothing."""
    if not _is_remote(address):
        try:
            return Path(address).stat().st_size
        except FileNotFoundError:
            return None
    store, path = _opened(str(address))
    found: int | None = store.get_file_info(path).size
    return found


def list_files(folder: Address) -> dict[str, int]:
    """The size of every file in a folder right under `folder`, half-written ones too, by address."""
    if not _is_remote(folder):
        found_here = sorted(Path(folder).glob("*/*"))
        return {str(file): size for file in found_here if (size := size_of(file)) is not None}  # some go meanwhile
    from pyarrow import fs  # noqa: PLC0415 - files of this machine need no pyarrow

    store, path = _opened(str(folder))
    found = store.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    inside = {file.path.removeprefix(path).strip("/"): file.size for file in found if file.is_file}
    return {below(str(folder), name): size for name, size in inside.items() if name.count("/") == 1}


def check_writable(folder: str) -> None:
    """Make a folder in a store, or see that it cannot be; a folder of this machine is made with its first file.

    Raises:
        StorageError: if the store does not answer, or does not let us.
    """
    if not _is_remote(folder):
        return
    try:
        store, path = _opened(folder)
        store.create_dir(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{masked(folder)}: checkpoints must go there, but cannot ({masked(str(error))}). Make the bucket, mend "
            "the address, or export what it needs (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)."
        ) from error


def _is_remote(address: Address) -> bool:
    return isinstance(address, str) and "://" in address


@contextmanager
def _uploaded(uri: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hpo-") as folder:
        local = Path(folder) / "file"
        yield local
        store, path = _opened(uri)
        if store.type_name in ALL_OR_NOTHING:
            _copy(local, store, path)
            return
        store.create_dir(path.rpartition("/")[0])
        _copy(local, store, f"{path}.part")
        store.move(f"{path}.part", path)


@contextmanager
def _downloaded(uri: str) -> Iterator[Path]:
    from pyarrow import fs  # noqa: PLC0415 - files of this machine need no pyarrow

    store, path = _opened(uri)
    with tempfile.TemporaryDirectory(prefix="hpo-") as folder:
        local = Path(folder) / "file"
        fs.copy_files(path, str(local), source_filesystem=store, destination_filesystem=fs.LocalFileSystem())
        yield local


def _copy(local: Path, store: Any, path: str) -> None:
    from pyarrow import fs  # noqa: PLC0415 - see above

    fs.copy_files(str(local), path, source_filesystem=fs.LocalFileSystem(), destination_filesystem=store)


def _opened(uri: str) -> tuple[Any, str]:
    """The store, and the path in it."""
    scheme, _, rest = uri.partition("://")
    whole, mark, options = rest.partition("?")
    host, _, path = whole.partition("/")
    store, root = _store(f"{scheme}://{host}/{mark}{options}")
    return store, f"{root.rstrip('/')}/{path}"


@cache
def _store(uri: str) -> tuple[Any, str]:
    """Once per process: to connect takes a look-up or two."""
    from pyarrow import fs  # noqa: PLC0415 - see above

    store, root = fs.FileSystem.from_uri(uri)
    return store, root
