"""Settings from the command line: `key.path=value`."""

from collections.abc import Sequence

from pydantic.fields import FieldInfo

from hpo.config import Config, JsonTree
from hpo.errors import Problem
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.yaml_tree import read_yaml
from hpo.sweep.model import Sweep
from hpo.sweep.wording import configs_in


def override(tree: JsonTree, overrides: Sequence[str]) -> list[Problem]:
    """Set each `key.path=value` in `tree`, in place, and return those that could not be set.

    A section that the file leaves out is begun with its default kind, so that `optimizer.lr=0.3` always works.
    """
    problems = (_override(tree, text) for text in overrides)
    return [problem for problem in problems if problem]


def _override(tree: JsonTree, text: str) -> Problem | None:
    path, equals, written = text.partition("=")
    value = read_yaml(written)
    if not equals or not path:
        return Problem(key="", message=f"an override is written key.path=value, but got {text}.")
    if value.problems:
        return Problem(key=path, message=f"an override's value must be YAML, but got {text}. Quote it for the shell.")
    parent, name = _find_parent(tree, path)
    if parent is None:
        guess = did_you_mean(name, Sweep.model_fields) if name not in Sweep.model_fields else ""
        return Problem(key=path, message=f"{name} must be a section of the sweep, for {text} to be set in it.{guess}")
    parent[name] = value.value
    return None


def _find_parent(tree: JsonTree, path: str) -> tuple[JsonTree | None, str]:
    """The mapping that holds `path`, and the key there; (none, the section that is missing) if there is none."""
    section, _, rest = path.partition(".")
    if section == "space" and rest:
        return _begin_space(tree), rest
    field = Sweep.model_fields.get(section)
    if rest and tree.get(section) is None and field is not None and _can_begin(field):
        kind = getattr(field.default, "kind", None)
        tree[section] = {"kind": kind} if kind else {}
    *sections, name = path.split(".")
    node = tree
    for depth, part in enumerate(sections):
        child = node.get(part)
        if not isinstance(child, dict):
            return None, ".".join(sections[: depth + 1])
        node = child
    return node, name


def _can_begin(field: FieldInfo) -> bool:
    """Whether a section has settings without being written; one that is none by default has those of its own."""
    return isinstance(field.default, Config) or (field.default is None and any(configs_in(field.annotation)))


def _begin_space(tree: JsonTree) -> JsonTree:
    """The space as a mapping that domains can be added to."""
    written = tree.get("space") or {}
    space: JsonTree = written if isinstance(written, dict) else {"file": written}
    tree["space"] = space
    return space
