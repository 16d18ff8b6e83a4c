"""All mistakes of a tree at once.

Pydantic stops before the rules between fields when a field is wrong by itself. So the wrong fields are taken out,
and the rules are tried on what is left.
"""

import copy
import json
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pydantic import ValidationError

from hpo.config import JsonTree
from hpo.errors import Problem, SweepError
from hpo.sweep.asked import Asked
from hpo.sweep.wording import explain

Kind = TypeVar("Kind", bound=Asked)
_ENTRY = re.compile(r"(space|points\.\d+)\.")


def validate(tree: JsonTree, kind: type[Kind]) -> Kind | list[Problem]:
    """The sweep of a kind that `tree` describes, or everything that is wrong with it."""
    try:
        return kind.model_validate_json(json.dumps(tree))
    except SweepError as error:
        return error.problems
    except ValidationError as error:
        problems = explain(error, tree, kind)
    keys = [problem.key for problem in problems]
    return problems + [problem for problem in _rule_problems(_without(tree, keys), kind) if not _follows(problem, keys)]


def _rule_problems(tree: JsonTree, kind: type[Asked]) -> Sequence[Problem]:
    """What rules between fields say of a tree; nothing if it is still wrong by itself."""
    try:
        kind.model_validate_json(json.dumps(tree))
    except SweepError as error:
        return error.problems
    except ValidationError:
        return ()  # what is wrong here was found before
    return ()


def _without(tree: JsonTree, keys: Iterable[str]) -> JsonTree:
    """A copy of `tree` in which wrong settings have their defaults and wrong domains are left out."""
    rest = copy.deepcopy(tree)
    for key in keys:
        section, _, name = key.partition(".")
        body = rest.get(section)
        setting = name.partition(".")[0]
        if section == "space" and isinstance(body, dict):
            rest[section] = {path: domain for path, domain in body.items() if not f"{name}.".startswith(f"{path}.")}
        elif isinstance(body, dict) and setting in body and setting != "kind":
            del body[setting]
        else:
            rest.pop(section, None)
    return rest


def _follows(problem: Problem, keys: Sequence[str]) -> bool:
    """Whether a problem may be there only because the mistakes at `keys` were taken out."""
    if problem.key in ("space", "metric"):
        beginnings = ("space.",) if problem.key == "space" else ("metric",)
        return any(key.startswith(beginnings) for key in keys)
    if problem.key.startswith("constraints."):
        return any(key.startswith("space.") for key in keys)
    entries = [_ENTRY.sub("", key).removesuffix(".kind") for key in keys if _ENTRY.match(key) or key.endswith(".kind")]
    path = _ENTRY.sub("", problem.key)
    return any(f"{path}.".startswith(f"{entry}.") or entry.startswith(f"{path}.") for entry in entries)
