"""Commands for what a sweep has come to: all networks together, and the test split."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.conduct import errors_told, make_importable
from hpo.cli.going import go_on, leave
from hpo.cli.options import RUNS, Json, Runs, Set, SweepId

app = typer.Typer()


@app.command()
def ensemble(
    sweep_id: SweepId,
    kind: Annotated[str | None, typer.Option("--kind", help="As -s ensemble.kind; else as in the file.")] = None,
    size: Annotated[int | None, typer.Option("--size", min=1, help="As -s ensemble.size.")] = None,
    set_: Set = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write a bundle here.")] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Set it in the sweep's file, and go on with the sweep.")
    ] = False,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Build an ensemble of what a sweep has left so far: who is in it, and what it is worth."""
    from hpo.cli.ensemble import show_ensemble
    from hpo.harvest.rebuilding import ask_for, rebuild_ensemble
    from hpo.paths import find_sweep

    told = {"ensemble.kind": kind, "ensemble.size": size}
    settings = [*(f"{key}={value}" for key, value in told.items() if value is not None), *(set_ or [])]
    foreign = [text for text in settings if text.partition("=")[0].partition(".")[0] != "ensemble"]
    if foreign:
        raise typer.BadParameter(f"only settings of the ensemble can be changed here, but got {foreign[0]}")
    if train and out is not None:
        raise typer.BadParameter("--train writes the bundles that the file asks for: drop --out")
    with errors_told():
        make_importable()
        paths = find_sweep(runs, sweep_id)
        if train:
            ask_for(paths, settings)
            done = go_on(paths, as_json=as_json)
        else:
            show_ensemble(rebuild_ensemble(paths, settings, out), as_json=as_json)
    if train:
        leave(done)


@app.command()
def finalize(
    sweep_id: SweepId,
    train: Annotated[bool, typer.Option("--train", help="Train the run of the same total budget, too.")] = False,
    corrupted: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Also with noise, blur, less contrast, turned, and with other shares of classes."
        ),
    ] = False,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Open the test split: what the ensemble is worth on it, beside all that it must be better than."""
    from hpo.cli.finalized import show_finalized
    from hpo.harvest.finalize import finalize_sweep
    from hpo.paths import find_sweep
    from hpo.run import start_ray

    with errors_told():
        make_importable()
        paths, start = find_sweep(runs, sweep_id), start_ray if train else None
        record = finalize_sweep(paths, datetime.now(UTC), start, is_corrupted=corrupted)
        show_finalized(record, as_json=as_json)
