"""What an archive may hold before torch reads it, for its reader runs code that stands there.

`torch.export.load` (torch 2.13) unpickles what a config calls a pickle, gives `expr_str` to sympy, whose parser is
`eval`, compiles the names of nodes and `guards_code` as Python, imports the module that the `fqn` of an enum in a
tree's spec names, and calls any operator: `aten.from_file` opens files. So nothing but numbers and words that a rule
below knows is let through, as a copy: torch reads what was looked at, and no other part of the file.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hpo.config import JsonTree
from hpo.errors import BundleError
from hpo.training.bundles.card import OF_ENSEMBLE

_PAYLOAD = r"data/(weights/weight_\d+|constants/tensor_\d+|(weights|constants)/\w+_config\.json)"
_PLAIN = re.compile(rf"[^/]+/({_PAYLOAD}|models/\w+\.json|archive_format|archive_version|byteorder|\.data/\w+)")
"""Entries of an archive that are numbers or text."""

_LEAF: JsonTree = {"type": None, "context": None, "children_spec": []}
_INPUTS = {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF]}
_NO_NAMED = {"type": "builtins.dict", "context": "[]", "children_spec": []}
_SPECS: Final[dict[str, tuple[JsonTree, ...]]] = {
    "in_spec": ({"type": "builtins.tuple", "context": "null", "children_spec": [_INPUTS, _NO_NAMED]},),
    "out_spec": (_LEAF, {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF] * len(OF_ENSEMBLE)}),
}
"""Every bundle takes one tensor and gives one; that of an ensemble gives as many as it has outputs."""

_NAME: Final = r"([A-Za-z_]\w*)?"
_OPERATOR: Final = (
    r"torch\.ops\.aten\.(?!from_file\b|save\b)\w+\.\w+|_operator\.\w+|math\.\w+|torch\.(_?sym_\w+)"
    r"|torch\.ops\.higher_order\.(cond|wrap_with_set_grad_enabled|wrap_with_autocast)"
)
_SYMBOL: Final = r"Symbol\('[a-z]+\d+'(, \w+=True)*\)"
_FUNCTION: Final = "(Integer|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|Rational)"
_SIZE: Final = r"L\['\w+'\]\.(size|stride)\(\)\[\d+\]"
_WORD: Final = re.compile(r"[\w.,+> -]*", re.ASCII)
_RULES: Final = {
    "name": _NAME,
    "as_name": _NAME,
    "user_input_name": _NAME,
    "forward_arg_names": _NAME,
    "target": _OPERATOR,
    "as_operator": _OPERATOR,
    "expr_str": rf"({_SYMBOL}|{_FUNCTION}\(|-?\d+|, |\)|[a-z]+\d+)*",
    "guards_code": rf"({_SIZE}|\d+| |[-+*/%<>=!()]|and\b|or\b|not\b)*",
}
"""Text that torch's reader runs or compiles, by the key that it stands under; any other is a word."""


def vetted(model: Path) -> io.BytesIO:
    """The archive at `model`, copied as far as it is nothing but numbers and words, without what it says of its making.

    Raises:
        BundleError: if there is anything else in it.
        ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile: if it is no archive that torch wrote.
    """
    entries = _entries(model)
    strange = [*_pickles(entries)]
    for name in entries:
        if "/models/" in name:
            program = json.loads(entries[name])
            strange += [f"{text!r} as {key}" for key, text in _strange(program)]
            entries[name] = json.dumps(program).encode()
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise BundleError(
            f"{model}: must hold nothing but numbers and words, for torch runs code that stands in it, but holds "
            f"{', '.join(text[:120] for text in strange[:3])}{more}. Export the trial again; trust no bundle that has "
            "been tampered with."
        )
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    copy.seek(0)
    return copy


def _entries(model: Path) -> dict[str, bytes]:
    """By name; what is packed is not unpacked, for a thousand bytes can become as many gigabytes."""
    with zipfile.ZipFile(model) as archive:
        listed = archive.infolist()
        is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in listed)
        if is_packed or sum(entry.file_size for entry in listed) > model.stat().st_size:
            raise BundleError(
                f"{model}: must hold its entries as they are, but has packed ones. Export the trial again."
            )
        if len({entry.filename for entry in listed}) < len(listed):
            raise BundleError(f"{model}: must hold every entry once, but has two of a name. Export the trial again.")
        return {entry.filename: archive.read(entry) for entry in listed}


def _pickles(entries: dict[str, bytes]) -> Iterator[str]:
    """Entries that torch's reader would unpickle, or whose use is not known."""
    for name, content in entries.items():
        if content and not _PLAIN.fullmatch(name):
            yield name
        elif name.endswith("_config.json"):
            payloads = json.loads(content)["config"]
            yield from (name for name, payload in payloads.items() if payload["use_pickle"])


def _strange(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Text in a program that no rule lets through, with its key; what tells of the making is taken out."""
    match tree:
        case dict():
            if "metadata" in tree:
                tree["metadata"] = {}
            for name, value in tree.items():
                yield from () if _WORD.fullmatch(name) else ((key, name),)
                yield from _strange(value, name)
        case list():
            for value in tree:
                yield from _strange(value, key)
        case str():
            yield from () if _is_let_through(key, tree) else ((key, tree),)


def _is_let_through(key: str, text: str) -> bool:
    if key in _SPECS:
        return text in {json.dumps([1, spec]) for spec in _SPECS[key]}
    return re.fullmatch(_RULES[key], text, re.ASCII) is not None if key in _RULES else bool(_WORD.fullmatch(text))
