"""Who may import whom: the table that keeps the rooms of hpo apart, and the walls that are checked with it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A room imports from the rows above its own, and from itself. Only in the first row may siblings meet.
ROWS = """
errors config records paths progress uris files sizes disk versions driver.__init__ folders.__init__ harvest.__init__
training.seeds training.bundles training.depth training.ranks training.shared_norms
spaces scheduling training.models training.optimizers training.augmentations training.data training.initializers \
    training.schedules training.regularizers training.losses training.precision training.batch_growth \
    training.early_stopping training.diagnostics.options training.diagnostics.__init__
training.recipe training.corruptions training.examples training.luck training.teacher
training.state
training.program training.fused training.stacking training.evaluate training.checkpoint training.course \
    training.pruning
training.solo training.lanes
training.diagnostics
training.selfcheck training.probe training.lr_range
training.choice
training.loop training.finetuning
training.workload training.__init__
search ensembles results tracking curves
execution export cluster programs
sweep
driver.standings room
plan driver.accounts driver.trials folders.origin driver.shelf harvest.pool
harvest.assembly harvest.lineup
driver.judge driver.again driver.resuming driver.limits harvest.registering
driver.legs
driver.population
driver.driver
folders.folder interrupts outcome driver.waits harvest.repeats
folders.notice harvest.harvest harvest.postscript harvest.reliability folders.journal
harvest.long_run harvest.finals
harvest.affordable harvest.contenders
stages harvest.exam work
run harvest.robustness
submission harvest.rebuilding harvest.finalize harvest.prune simulation folders.doctor folders.cleaning folders.status
folders.control folders.report
cli __init__ __main__
"""

# Pairs that must not meet although the rows would let them: one half decides, the other does.
FORBIDDEN = {("execution", "search"), ("execution", "tracking")}

# One heavy library per room.
HEAVY = {
    "torch": "training ensembles export programs",
    "safetensors": "training ensembles programs",
    "sklearn": "training",
    "ruamel": "spaces sweep",
    "optuna": "search",
    "sqlalchemy": "search",
    "pandas": "results",
    "matplotlib": "results",
    "mlflow": "tracking",
    "ray": "execution cluster",
    "onnx": "export",
    "onnxruntime": "export",
    "typer": "cli",
    "rich": "cli",
}

ROW_OF = {room: number for number, row in enumerate(ROWS.strip().splitlines()) for room in row.split()}

MODULES = {
    ".".join(path.relative_to(ROOT / "hpo").with_suffix("").parts): path for path in sorted(ROOT.glob("hpo/**/*.py"))
}


def find_violations(sources: Mapping[str, str]) -> list[str]:
    """Every import that the table forbids, in words.

    Args:
        sources: code by module, without the package's name ("training.loop", "spaces.__init__").
    """
    found = []
    for module, source in sources.items():
        room = room_of(module)
        if room is None:
            found.append(f"{module}: has no row. Add it to ROWS, where it belongs.")
            continue
        problems = ((line, target, judge(room, target)) for line, target in list_imports(source))
        found += [f"{module}:{line}: imports {target}, but {problem}." for line, target, problem in problems if problem]
    return found


def judge(room: str, target: str) -> str | None:
    """What is wrong with importing `target` in `room`; none if nothing is."""
    library, _, module = target.partition(".")
    if library != "hpo":
        rooms = HEAVY.get(library)
        return f"{library} is for {rooms}" if rooms and room.split(".", maxsplit=1)[0] not in rooms.split() else None
    other = room_of(module)
    if other is None:
        return "that has no row"
    if (room, other) in FORBIDDEN:
        return f"{room} knows nothing of {other}"
    if ROW_OF[other] > ROW_OF[room]:
        return f"{other} stands below {room}"
    are_siblings = ROW_OF[other] == ROW_OF[room] > 0 and other != room
    return f"{other} and {room} are siblings" if are_siblings else None


def room_of(module: str) -> str | None:
    """The room of a module, or of a name in a module."""
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in ROW_OF), None)


def list_imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of whatever is imported anywhere in `source`, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                # A relative import has no room, so it is always found out.
                package = f"hpo.{'.' * level}{module}" if level else module
                yield from ((node.lineno, f"{package}.{alias.name}") for alias in names)


def test_every_import_follows_the_table() -> None:
    violations = find_violations({module: path.read_text(encoding="utf-8") for module, path in MODULES.items()})

    assert violations == []


@pytest.mark.parametrize(
    ("module", "source", "violation"),
    [
        (
            "scheduling.halving",
            "import hpo.search.study",
            "imports hpo.search.study, but search stands below scheduling",
        ),
        ("spaces.domain", "from hpo.scheduling import Asha", "but scheduling and spaces are siblings"),
        ("training.models.mlp", "from hpo.training import optimizers", "optimizers and training.models are siblings"),
        ("training.loop", "from hpo.training import workload", "training.workload stands below training.loop"),
        (
            "execution.ray",
            "def f():\n    from hpo.search.study import Study",
            "execution.ray:2: imports hpo.search.study",
        ),
        ("execution.ray", "from hpo.tracking import Tracker", "execution knows nothing of tracking"),
        ("driver.driver", "import ray.tune", "driver.driver:1: imports ray.tune, but ray is for execution cluster"),
        ("tracking.mlflow", "from pandas import DataFrame", "imports pandas.DataFrame, but pandas is for results"),
        ("records", "from .config import Config", "imports hpo..config.Config, but that has no row"),
        ("search.study", "import hpo", "imports hpo, but that has no row"),
        ("execution.trainable", "import typer", "imports typer, but typer is for cli"),
        ("gadgets", "", "gadgets: has no row. Add it to ROWS, where it belongs."),
    ],
)
def test_a_bad_import_is_found(module: str, source: str, violation: str) -> None:
    violations = find_violations({module: source})

    assert len(violations) == 1
    assert violation in violations[0]


def test_good_imports_pass() -> None:
    sources = {
        "records": "from hpo.config import Config",
        "training.models.mlp": "import torch\nfrom hpo.training.models.layers import Dropout",
        "training.loop": "from hpo.training.recipe import Recipe",
        "search.__init__": "import optuna\nfrom hpo.search.study import Study",
        "driver.driver": "from hpo.scheduling import Asha\nfrom hpo.search import Study",
    }

    violations = find_violations(sources)

    assert violations == []


def test_every_library_that_hpo_imports_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *project["optional-dependencies"]["onnx"],
        *project["optional-dependencies"]["cluster"],
    ]
    declared = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in required}
    distributions = metadata.packages_distributions()

    imported = {
        target.split(".")[0]
        for path in MODULES.values()
        for _, target in list_imports(path.read_text(encoding="utf-8"))
    }
    third_party = imported - sys.stdlib_module_names - {"hpo", "pydantic_core"}  # the latter is half of pydantic

    undeclared = {name for name in third_party if not declared & {d.lower() for d in distributions.get(name, [])}}
    assert undeclared == set()
