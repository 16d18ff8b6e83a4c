"""A sweep as a file that says everything, and the schema of such files."""

import io

from ruamel.yaml import YAML

from hpo.config import JsonTree
from hpo.scheduling import full_budget
from hpo.spaces.shorthand import SHORT_FORM
from hpo.sweep.asked import Asked
from hpo.sweep.inert import inert_paths
from hpo.sweep.loading import TRAINERS, AnySweep
from hpo.sweep.model import Sweep
from hpo.sweep.own import OwnSweep
from hpo.training.models.custom import PATH

FIRST = ("name", "data", "function", "command", "folder", "params")
"""Keys that begin a resolved file; the others follow in the model's order."""
WIDE = 4096
"""Characters to a line: values are not broken over lines."""


def dump_resolved(sweep: AnySweep) -> str:
    """YAML that holds every default and loads again to an equal sweep.

    A default that has no effect is left out, because the same setting written down would be refused.
    """
    tree = sweep.as_tree()
    if isinstance(sweep, Sweep):
        _drop_idle(tree, sweep)
    else:
        tree = {key: value for key, value in tree.items() if key not in (*TRAINERS, "folder") or value is not None}
    if full_budget(sweep.budget, sweep.chosen.scheduler, sweep.epochs).trials != sweep.budget.trials:
        del tree["budget"]["trials"]  # the scheduler says
    if sweep.tracking is None:
        tree["tracking"] = "none"
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # annotated by its default
    yaml.width = WIDE
    text = io.StringIO()
    yaml.dump({name: tree[name] for name in FIRST if name in tree} | tree, text)
    return text.getvalue()


def sweep_schema() -> JsonTree:
    """JSON Schema of sweep files of either kind, with what a file may say more shortly than the model holds it."""
    recipe, own = _schema(Sweep), _schema(OwnSweep)
    function = {"type": "string", "pattern": PATH, "description": "A network of your own, by Python path."}
    model = recipe["properties"]["model"]
    recipe["properties"]["model"] = {"anyOf": [function, model], "description": model["description"]}
    definitions = own.pop("$defs") | recipe.pop("$defs")
    trains = [{"required": [key]} for key in TRAINERS]
    return {"$defs": definitions, "if": {"anyOf": trains}, "then": {**own, "oneOf": trains}, "else": recipe}


def _drop_idle(tree: JsonTree, sweep: Sweep) -> None:
    """Take out, in place, what would have no effect."""
    del tree["metric" if sweep.metrics else "metrics"]
    for path in inert_paths(sweep.cases):
        section, _, name = path.partition(".")
        tree[section].pop(name, None)  # a searched kind may have what the base has not


def _schema(kind: type[Asked]) -> JsonTree:
    schema = kind.model_json_schema()
    properties = schema["properties"]
    domain = {"anyOf": [{"type": "string", "pattern": SHORT_FORM}, properties["space"]["additionalProperties"]]}
    mapping = {"type": "object", "properties": {"file": {"type": "string"}}, "additionalProperties": domain}
    file = {"type": "string", "description": "A file that holds a space, relative to the sweep file."}
    properties["space"] = {"anyOf": [file, mapping], "description": properties["space"]["description"]}
    properties["tracking"]["anyOf"].append({"const": "none"})
    return schema
