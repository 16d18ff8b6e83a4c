"""Arguments and options that commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

SweepFile = Annotated[Path, typer.Argument(metavar="FILE", help="A sweep file.", show_default=False)]
SweepId = Annotated[str, typer.Argument(metavar="ID", help="A sweep's id, or how it begins.", show_default=False)]
OneId = Annotated[
    str | None, typer.Argument(metavar="ID", help="Only this sweep: its id, or how it begins.", show_default=False)
]
Set = Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set a key of the file.")]
NewId = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="The sweep's id, which must be new; else one is made up.")
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", envvar="HPO_ADDRESS", help="Of a Ray cluster, as http://head:8265."),
]
Runs = Annotated[Path, typer.Option("--runs", help="The folder that holds the sweeps.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tta = Literal["none", "flip", "flip_translate"]
Weights = Literal["raw", "averaged"]
PruneMode = Literal["global_l1", "structured"]

RUNS = Path("runs")


def size(text: str) -> int:
    """Bytes, of `500MB`."""
    from hpo.sizes import parse_size

    try:
        found = parse_size(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not isinstance(found, int) or found == 0:
        raise typer.BadParameter(f"must be more than nothing, but got {text}")
    return found


def numbers(text: str) -> list[float]:
    """Of `0.5,0.9`."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"must be numbers with commas between, such as 0.5,0.9, but got {text}") from error
