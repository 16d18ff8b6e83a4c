"""The command that writes a report."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.conduct import errors_told, make_importable
from hpo.cli.options import RUNS, Json, Runs, SweepId
from hpo.cli.remote import on_cluster

app = typer.Typer()


@on_cluster(app)
def report(
    sweep_id: SweepId,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it here, not as report.html in the sweep's folder.")
    ] = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Write one page on a sweep as it stands, with plots, to read anywhere; MLflow keeps it with the sweep's run."""
    from hpo.cli.text import grid, make_console, print_json
    from hpo.folders.report import write_report
    from hpo.paths import find_sweep

    with errors_told():
        make_importable()
        written = write_report(find_sweep(runs, sweep_id), datetime.now(UTC), out)
    if as_json:
        print_json({"file": str(written.file), "state": written.state.value, "is_tracked": written.is_tracked})
        return
    rows = grid()
    rows.add_row("report", str(written.file))
    rows.add_row("sweep", written.state.value)
    rows.add_row("MLflow", "an artifact of the sweep's run" if written.is_tracked else "not told")
    make_console().print(rows)
