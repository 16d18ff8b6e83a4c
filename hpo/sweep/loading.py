"""From a sweep file to what it describes, or to every mistake in it."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpo.config import JsonTree
from hpo.errors import Problem, SweepError
from hpo.sweep.files import include_space, read_mapping
from hpo.sweep.model import Sweep
from hpo.sweep.overrides import override, override_domains
from hpo.sweep.own import OwnSweep
from hpo.sweep.validation import validate
from hpo.sweep.wording import NAME

FILES = {"data": ("path", "folder", "test_folder"), "initializer": ("bundle",), "loss": ("teacher",)}
"""Settings that are relative to the sweep file, by section."""
TRAINERS = ("function", "command")
"""Keys of which one tells that training is the user's own."""
AnySweep = Sweep | OwnSweep


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """The sweep that a file describes, whose trials are networks that hpo trains.

    Args:
        path: a YAML file.
        overrides: `key.path=value`, set in order over what the file says.

    Raises:
        SweepError: if anything is wrong; it holds every problem, by line.
    """
    sweep = load_any(path, overrides)
    if isinstance(sweep, Sweep):
        return sweep
    message = (
        "must be left out here, where a network is needed that hpo has trained, but "
        f"{sweep.function or sweep.command} trains."
    )
    raise SweepError(path, [Problem(key=sweep.trainer, message=f"{message} Use a sweep with model and data.")])


def load_any(path: Path, overrides: Sequence[str] = ()) -> AnySweep:
    """The sweep that a file describes, of either kind: with one of `TRAINERS`, training is the user's own.

    Args:
        path: a YAML file.
        overrides: `key.path=value`, set in order over what the file says.

    Raises:
        SweepError: if anything is wrong; it holds every problem, by line.
    """
    source = read_mapping(path)
    if not isinstance(source.value, dict):
        raise SweepError(path, list(source.problems))
    tree = _named_after(path) | source.value
    problems = override(tree, overrides)
    space_file = include_space(tree, path.parent)
    problems += override_domains(tree, overrides)
    sweep: AnySweep | list[Problem]
    if trainer := next((key for key in TRAINERS if key in tree), None):
        problems += _take_foreign(tree, trainer)
        _resolve_folder(tree, path.parent)
        sweep = validate(tree, OwnSweep)
    else:
        _resolve_files(tree, path.parent)
        _expand_model(tree)
        sweep = validate(tree, Sweep)
    if not isinstance(sweep, list) and not (problems or space_file.problems or source.problems):
        return sweep
    found = sweep if isinstance(sweep, list) else []
    if space_file.problems:  # then neither the space nor the points can be judged
        found = [problem for problem in found if problem.key.partition(".")[0] not in ("space", "points")]
    known = {problem.key for problem in source.problems}
    problems += [problem for problem in (*space_file.problems, *found) if problem.key not in known]
    set_here = [text.partition("=")[0] for text in overrides]
    placed = [_place(problem, source.lines, space_file.origins, set_here) for problem in problems]
    raise SweepError(path, sorted([*source.problems, *placed], key=_line))


def _named_after(path: Path) -> JsonTree:
    """The default of `name`: the file's, where that is one."""
    return {"name": path.stem} if re.fullmatch(NAME, path.stem) else {}


def _take_foreign(tree: JsonTree, trainer: str) -> list[Problem]:
    """Take out, in place, what only a sweep of the other kind has; a problem for each."""
    foreign = [key for key in tree if key in Sweep.model_fields and key not in OwnSweep.model_fields]
    for key in foreign:
        del tree[key]
    message = f"must be left out with {trainer}, which trains in place of a recipe. Delete it, or make it a param."
    return [Problem(key=key, message=message) for key in foreign]


def _resolve_folder(tree: JsonTree, folder: Path) -> None:
    """Where the command runs."""
    given = tree.get("folder", "." if "command" in tree else None)
    if isinstance(given, str):
        tree["folder"] = os.path.realpath(folder / given)


def _resolve_files(tree: JsonTree, folder: Path) -> None:
    for section, names in FILES.items():
        settings = tree.get(section)
        written = settings if isinstance(settings, dict) else {}
        for name in names:
            if isinstance(written.get(name), str):
                written[name] = os.path.realpath(folder / written[name])  # `resolve` raises where links form a ring


def _expand_model(tree: JsonTree) -> None:
    """`model: my_package.nets:make` is short for a custom model."""
    model = tree.get("model")
    if isinstance(model, str) and ":" in model:
        tree["model"] = {"kind": "custom", "factory": model}


def _place(problem: Problem, lines: Mapping[str, int], origins: Mapping[str, str], set_here: Sequence[str]) -> Problem:
    """A problem with the line of its key, or of the nearest key above that is in the file."""
    keys = list(_upwards(problem.key))
    if any(key in set_here for key in keys):
        return problem
    origin = next((f" (in {origins[key]})" for key in keys if key in origins), "")
    line = next((lines[key] for key in keys if key in lines), None)
    return Problem(key=problem.key, message=problem.message + origin, line=line)


def _upwards(key: str) -> list[str]:
    """`a.b.c`, `a.b`, `a`."""
    parts = key.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _line(problem: Problem) -> tuple[bool, int]:
    """Sorts by line, with problems that have none at the end."""
    return problem.line is None, problem.line or 0
