"""What the doctor found, on a terminal or as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hpo.cli.text import make_console, print_json
from hpo.folders.doctor import Checkup
from hpo.versions import versions

if TYPE_CHECKING:
    from hpo.execution.nodes import Node

BAD = {"broken", "away", "unknown"}


def show_checkups(
    found: Sequence[Checkup], nodes: "Sequence[Node]", node_problems: Sequence[str], *, as_json: bool
) -> None:
    """Versions, a row per node and per sweep, and what is still wrong."""
    if as_json:
        sweeps = [asdict(checkup) for checkup in found]
        told = {"nodes": [asdict(node) for node in nodes], "node_problems": list(node_problems)}
        print_json({"versions": dict(versions()), **told, "sweeps": sweeps})
        return
    console = make_console()
    console.print("  ".join(f"{name} {version}" for name, version in versions().items()), style="dim", soft_wrap=True)
    for table in (_nodes(nodes), _table(found)):
        if table.row_count:
            console.print("", table, sep="\n")
    problems = [*node_problems, *(f"{each.sweep_id}: {problem}" for each in found for problem in each.problems)]
    for problem in problems:
        console.print(f"\n{problem}", style="red", soft_wrap=True)
    if not problems:
        console.print(f"\n{'Nothing is wrong.' if found or nodes else 'No sweeps here.'}")


def _nodes(nodes: "Sequence[Node]") -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("node", "CPUs", "GPUs", "clock", "states"):
        table.add_column(name, justify="right" if name in ("CPUs", "GPUs", "clock") else "left", no_wrap=True)
    for node in nodes:
        resources = (f"{node.num_cpus:g}", f"{node.num_gpus:g}")
        if node.silent is None:
            reach = Text("out of reach", style="red") if node.unreached else Text("within reach")
            table.add_row(node.name, *resources, f"{node.ahead_s:+.2f} s", reach)
        else:
            table.add_row(node.name, *resources, Text("silent", style="red"), "")
    return table


def _table(found: Sequence[Checkup]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("sweep", "study", "MLflow", "waited", "written", "left"):
        table.add_column(name, justify="left" if name in ("sweep", "study", "MLflow") else "right", no_wrap=True)
    table.add_column("")
    for checkup in found:
        states = (Text(state, style="red" if state in BAD else "") for state in (checkup.study, checkup.mlflow))
        num_written = 0 if checkup.has_driver else checkup.num_waiting - checkup.num_left
        counts = map(str, (checkup.num_waiting, num_written, checkup.num_left))
        table.add_row(checkup.sweep_id, *states, *counts, "its driver writes them" if checkup.has_driver else "")
    return table
