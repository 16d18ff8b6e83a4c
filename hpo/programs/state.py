"""States that a user's own training hands over: one tar file each, whatever they are. Nothing is pickled."""

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpo.config import JsonTree
from hpo.errors import HpoError
from hpo.files import Address, fetched, written
from hpo.uris import masked

State = bytes | Mapping[str, Any] | Path
"""Bytes; a dict of tensors, arrays, numbers, texts, and dicts, lists and tuples of these; or a folder, which is copied.
"""
KINDS = ("bytes", "tree", "folder")
BYTES, TREE, FOLDER = KINDS
ARRAYS, TENSORS = "arrays.npz", "tensors.safetensors"


def write_state(address: Address, state: State) -> None:
    """Write `state` so that a reader sees all of it or nothing.

    Raises:
        ValueError: if it is nothing that a state can be.
    """
    parts = {} if isinstance(state, Path) else _parts(state)
    with written(address) as beside, tarfile.open(beside, "w", dereference=True) as tar:
        if isinstance(state, Path):
            if not state.is_dir():
                raise ValueError(f"state: a path must be that of a folder, but {state} is none. Make it.")
            tar.add(state, FOLDER)
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def read_state(address: Address, folder: Path) -> State:
    """What `write_state` wrote; tensors are on the CPU, and the files of a folder lie in `folder`.

    Raises:
        HpoError: if the file is missing or damaged.
    """
    try:
        with fetched(address) as path, tarfile.open(path) as tar:
            if FOLDER in tar.getnames():
                _unpack(tar, folder)
                return folder / FOLDER
            parts = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]  # all are files
        return parts[BYTES] if BYTES in parts else _tree(parts)
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise HpoError(f"{masked(str(address))}: must be a state that a trial handed over, but {error}.") from error


def _unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Files and folders, which is all that is written: Python's own filters came in the course of 3.11.

    Raises:
        ValueError: if there is something else, or something that would lie elsewhere.
    """
    for member in tar:
        path = folder / member.name
        if not (member.isfile() or member.isdir()) or not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{member.name} in it is no file of its own")
        (path if member.isdir() else path.parent).mkdir(parents=True, exist_ok=True)
        if (content := tar.extractfile(member)) is not None:
            with content, path.open("wb") as file:
                shutil.copyfileobj(content, file)
            path.chmod(member.mode & 0o755)


@dataclass
class _Leaves:
    """What a tree holds that JSON does not."""

    arrays: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)

    def encode(self, value: object, path: str = "state") -> object:
        """The value as JSON holds it, with the names of its leaves."""
        match value:
            case None | bool() | int() | float() | str() if not isinstance(value, np.generic):
                return value
            case Mapping():
                pairs = ((self.encode(key, path), self.encode(each, f"{path}[{key!r}]")) for key, each in value.items())
                return {"dict": list(pairs)}
            case list() | tuple():
                items = [self.encode(each, f"{path}[{place}]") for place, each in enumerate(value)]
                return {type(value).__name__ if type(value) in (list, tuple) else "tuple": items}
            case bytes():
                return self._array("bytes", np.frombuffer(value, np.uint8))
            case np.ndarray() | np.generic() if not value.dtype.hasobject:
                return self._array("array" if isinstance(value, np.ndarray) else "scalar", np.asarray(value))
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            name = str(len(self.tensors))
            self.tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)  # may share memory
            return {"tensor": name}
        raise ValueError(
            f"{path}: a state must hold tensors, arrays, numbers, texts, and dicts, lists and tuples of these, but got "
            f"a {type(value).__name__}. Hand over what it is made of, bytes, or a folder."
        )

    def decode(self, value: object) -> object:  # noqa: PLR0911 - one for each kind of value
        """What was encoded."""
        if not isinstance(value, dict):
            return value
        [(kind, content)] = value.items()
        match kind:
            case "dict":
                return {self.decode(key): self.decode(each) for key, each in content}
            case "list":
                return [self.decode(each) for each in content]
            case "tuple":
                return tuple(self.decode(each) for each in content)
            case "tensor":
                return self.tensors[content]
            case "bytes":
                return self.arrays[content].tobytes()
        return self.arrays[content] if kind == "array" else self.arrays[content][()]

    def _array(self, kind: str, array: np.ndarray[Any, Any]) -> JsonTree:
        name = str(len(self.arrays))
        self.arrays[name] = array
        return {kind: name}


def _parts(state: object) -> dict[str, bytes]:
    if isinstance(state, bytes):
        return {BYTES: state}
    if not isinstance(state, Mapping):
        raise ValueError(f"state: must be bytes, a dict, or the Path of a folder, but got a {type(state).__name__}.")  # noqa: TRY004 - of the user's
    leaves = _Leaves()
    parts = {TREE: json.dumps(leaves.encode(state)).encode()}
    if leaves.arrays:
        packed = io.BytesIO()
        np.savez(packed, **leaves.arrays)
        parts[ARRAYS] = packed.getvalue()
    if leaves.tensors:
        from safetensors.torch import save  # noqa: PLC0415 - only states with tensors need torch

        parts[TENSORS] = save(leaves.tensors)
    return parts


def _tree(parts: Mapping[str, bytes]) -> Mapping[str, Any]:
    leaves = _Leaves()
    if ARRAYS in parts:
        with np.load(io.BytesIO(parts[ARRAYS]), allow_pickle=False) as arrays:
            leaves.arrays = dict(arrays)
    if TENSORS in parts:
        from safetensors.torch import load  # noqa: PLC0415 - see above

        leaves.tensors = load(parts[TENSORS])
    tree = leaves.decode(json.loads(parts[TREE]))
    assert isinstance(tree, dict)
    return tree
