"""Settings from the command line: `key.path=value`."""

from collections.abc import Sequence

from pydantic.fields import FieldInfo

from hpo.config import Config, JsonTree
from hpo.errors import Problem, SpaceError
from hpo.spaces.fields import Expected
from hpo.spaces.shorthand import lengthen
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.yaml_tree import read_yaml
from hpo.sweep.model import Sweep
from hpo.sweep.own import OwnSweep
from hpo.sweep.wording import configs_in

FIELDS = OwnSweep.model_fields | Sweep.model_fields


def override(tree: JsonTree, overrides: Sequence[str]) -> list[Problem]:
    """Set each `key.path=value` in `tree`, in place, and return those that could not be set.

    A section that the file leaves out is begun with its default kind, so that `optimizer.lr=0.3` always works. An entry
    of a list goes by its number: `constraints.0=...`.
    """
    problems = (_override(tree, text) for text in overrides)
    return [problem for problem in problems if problem]


def override_domains(tree: JsonTree, overrides: Sequence[str]) -> list[Problem]:
    """Move each `space.PATH.setting=value` that `override` has put beside the domain of `PATH` into it, in place.

    Once the space is whole: the domain may be one of a space file.
    """
    space = tree.get("space")
    paths = [text.partition("=")[0].removeprefix("space.") for text in overrides if text.startswith("space.")]
    if not isinstance(space, dict):
        return []
    problems = (_override_domain(space, path) for path in dict.fromkeys(paths) if path in space)
    return [problem for problem in problems if problem]


def _override_domain(space: JsonTree, path: str) -> Problem | None:
    owner, _, setting = path.rpartition(".")
    if owner not in space:
        if setting not in Expected.model_fields:
            return None
        del space[path]
        message = f"must be a setting of a domain, but {owner} is not searched.{did_you_mean(owner, space)}"
        return Problem(key=f"space.{path}", message=message)
    value = space.pop(path)
    try:
        domain = lengthen(space[owner])
    except SpaceError:
        return None  # the domain itself is wrong, and is reported at its own path
    space[owner] = {**domain, setting: value} if isinstance(domain, dict) else domain
    return None


def _override(tree: JsonTree, text: str) -> Problem | None:
    path, equals, written = text.partition("=")
    value = read_yaml(written)
    if not equals or not path:
        return Problem(key="", message=f"an override is written key.path=value, but got {text}.")
    if value.problems:
        return Problem(key=path, message=f"an override's value must be YAML, but got {text}. Quote it for the shell.")
    parent, name = _find_parent(tree, path)
    match parent:
        case dict():
            parent[name] = value.value
        case list() if name.isdecimal() and int(name) <= len(parent):
            parent[int(name) : int(name) + 1] = [value.value]
        case list():
            place = f"from 0 to {len(parent)}, where the last one adds an entry"
            return Problem(key=path, message=f"must name an entry of a list by its number, {place}, but got {name}.")
        case None:
            guess = did_you_mean(name, FIELDS) if name not in FIELDS else ""
            message = f"{name} must be a section of the sweep, for {text} to be set in it.{guess}"
            return Problem(key=path, message=message)
    return None


def _find_parent(tree: JsonTree, path: str) -> tuple[JsonTree | list[object] | None, str]:
    """The mapping or list that holds `path`, and the key there; (none, the section that is missing) if none does."""
    section, _, rest = path.partition(".")
    if section == "space" and rest:
        return _begin_space(tree), rest
    if section == "params" and rest and isinstance(tree.get(section), dict):  # whose keys are dotted
        return tree[section], rest
    field = FIELDS.get(section)
    if rest and tree.get(section) is None and field is not None:
        if _can_begin(field):
            kind = getattr(field.default, "kind", None)
            tree[section] = {"kind": kind} if kind else {}
        elif field.default == ():
            tree[section] = []
    *sections, name = path.split(".")
    node: JsonTree | list[object] = tree
    for depth, part in enumerate(sections):
        child = _child(node, part)
        if not isinstance(child, dict | list):
            return None, ".".join(sections[: depth + 1])
        if section == "points" and depth == 1:  # whose keys are dotted paths
            return child, path.split(".", depth + 1)[-1]
        node = child
    return node, name


def _child(node: JsonTree | list[object], name: str) -> object:
    if isinstance(node, dict):
        return node.get(name)
    return node[int(name)] if name.isdecimal() and int(name) < len(node) else None


def _can_begin(field: FieldInfo) -> bool:
    """Whether a section has settings without being written; one that is none by default has those of its own."""
    return isinstance(field.default, Config) or (field.default is None and any(configs_in(field.annotation)))


def _begin_space(tree: JsonTree) -> JsonTree:
    """The space as a mapping that domains can be added to."""
    written = tree.get("space") or {}
    space: JsonTree = written if isinstance(written, dict) else {"file": written}
    tree["space"] = space
    return space
