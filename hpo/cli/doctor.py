"""What the doctor found, on a terminal or as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from hpo.cli.text import make_console, print_json
from hpo.doctor import Checkup

BAD = {"broken", "away", "unknown"}


def show_checkups(found: Sequence[Checkup], versions: Mapping[str, str], *, as_json: bool) -> None:
    """Versions, a row per sweep, and what is still wrong."""
    if as_json:
        print_json({"versions": dict(versions), "sweeps": [asdict(checkup) for checkup in found]})
        return
    console = make_console()
    console.print("  ".join(f"{name} {version}" for name, version in versions.items()), style="dim", soft_wrap=True)
    if found:
        console.print("", _table(found), sep="\n")
    for checkup in found:
        for problem in checkup.problems:
            console.print(f"\n{checkup.sweep_id}: {problem}", style="red", soft_wrap=True)
    if not any(checkup.problems for checkup in found):
        console.print(f"\n{'Nothing is wrong.' if found else 'No sweeps here.'}")


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
