"""A sweep as a file that says everything, and the schema of such files."""

import io

from ruamel.yaml import YAML

from hpo.config import JsonTree
from hpo.scheduling import full_budget
from hpo.spaces.shorthand import SHORT_FORM
from hpo.sweep.inert import inert_paths
from hpo.sweep.model import Sweep
from hpo.training.models.custom import PATH

FIRST = ("name", "data")
"""Keys that begin a resolved file; the others follow in the model's order."""
WIDE = 4096
"""Characters to a line: values are not broken over lines."""


def dump_resolved(sweep: Sweep) -> str:
    """YAML that holds every default and loads again to an equal sweep.

    A default that has no effect is left out, because the same setting written down would be refused.
    """
    tree = sweep.as_tree()
    del tree["metric" if sweep.metrics else "metrics"]
    for path in inert_paths(sweep.cases):
        section, _, name = path.partition(".")
        tree[section].pop(name, None)  # a searched kind may have what the base has not
    if full_budget(sweep.budget, sweep.chosen.scheduler, sweep.epochs).trials != sweep.budget.trials:
        del tree["budget"]["trials"]  # the scheduler says
    if sweep.tracking is None:
        tree["tracking"] = "none"
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # annotated by its default
    yaml.width = WIDE
    text = io.StringIO()
    yaml.dump({name: tree[name] for name in FIRST} | tree, text)
    return text.getvalue()


def sweep_schema() -> JsonTree:
    """JSON Schema of a sweep file, with what a file may say more shortly than the model holds it."""
    schema = Sweep.model_json_schema()
    properties = schema["properties"]
    domain = {"anyOf": [{"type": "string", "pattern": SHORT_FORM}, properties["space"]["additionalProperties"]]}
    mapping = {"type": "object", "properties": {"file": {"type": "string"}}, "additionalProperties": domain}
    file = {"type": "string", "description": "A file that holds a space, relative to the sweep file."}
    properties["space"] = {"anyOf": [file, mapping], "description": properties["space"]["description"]}
    function = {"type": "string", "pattern": PATH, "description": "A network of your own, by Python path."}
    properties["model"] = {"anyOf": [function, properties["model"]], "description": properties["model"]["description"]}
    properties["tracking"]["anyOf"].append({"const": "none"})
    return schema
