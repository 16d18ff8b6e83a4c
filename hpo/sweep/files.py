"""Reading sweep files and the space files that they name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpo.config import JsonTree
from hpo.errors import Problem
from hpo.spaces.yaml_tree import YamlTree, read_yaml

MOST_BYTES = 1 << 20
"""Of a file: nobody writes more, and some devices never end."""


@dataclass(frozen=True, kw_only=True)
class SpaceFile:
    """What a sweep has taken over from a space file."""

    origins: Mapping[str, str] = field(default_factory=dict)
    """File and line of each domain, by its key in the sweep."""
    problems: tuple[Problem, ...] = ()


def read_mapping(path: Path) -> YamlTree:
    """A file that must hold a mapping; where it does not, there is a problem and the value is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            return _refused(f"must be a text of at most {MOST_BYTES} bytes, but is longer. Is it another file?")
        tree = read_yaml(raw.decode("utf-8-sig"))
    except FileNotFoundError:
        return _refused("no such file. Check the path.")
    except IsADirectoryError:
        return _refused("must be a file, but is a folder. Name a file in it.")
    except (OSError, ValueError) as error:
        return _refused(f"must be a readable text file in UTF-8, but: {error}.")
    if isinstance(tree.value, dict) or tree.problems:
        return tree
    got = "is empty" if tree.value is None else "is a list" if isinstance(tree.value, list) else "is a single value"
    return _refused(f"must be a mapping, with `key: value` on each line, but {got}.")


def find_space_file(tree: JsonTree, folder: Path) -> Path | None:
    """The file that `space` of a sweep file in `folder` names; none if it names none."""
    match tree.get("space"):
        case str() as name:
            return folder / name
        case {"file": name}:
            return folder / str(name)
        case _:
            return None


def include_space(tree: JsonTree, folder: Path) -> SpaceFile:
    """Put the domains of the file that `space` names into `tree`, in place; those of the sweep itself win."""
    path = find_space_file(tree, folder)
    if path is None:
        return SpaceFile()
    space = tree["space"]
    own = {} if isinstance(space, str) else {name: domain for name, domain in space.items() if name != "file"}
    source = read_mapping(path)
    shared = source.value if isinstance(source.value, dict) else {}
    tree["space"] = shared | own
    origins = {f"space.{key}": f"{path}:{source.lines[key]}" for key in shared if key not in own}
    return SpaceFile(origins=origins, problems=tuple(_moved(problem, path) for problem in source.problems))


def _refused(message: str) -> YamlTree:
    return YamlTree(value=None, lines={}, problems=(Problem(key="", message=message),))


def _moved(problem: Problem, path: Path) -> Problem:
    """A space file's problem as one of the sweep file that names it."""
    line = f":{problem.line}" if problem.line is not None else ""
    key = f"{problem.key}: " if problem.key else ""
    return Problem(key="space.file", message=f"{path}{line}: {key}{problem.message}")
