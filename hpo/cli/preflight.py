"""`hpo preflight`: whether a recipe can learn at all, before a sweep is spent on it."""

import typer

from hpo.cli.conduct import errors_told, make_importable
from hpo.cli.options import Json, Set, SweepFile

app = typer.Typer()


@app.command()
def preflight(file: SweepFile, set_: Set = None, as_json: Json = False) -> None:
    """Check the base recipe on this machine in seconds: its gradients, its start, and whether it can learn one batch.

    Ends with exit code 1 if a check has failed.
    """
    from hpo.cli.checks import show_checks
    from hpo.sweep import check_data, load_sweep
    from hpo.training.diagnostics.preflight import preflight

    with errors_told():
        make_importable(file.parent)
        sweep = load_sweep(file, set_ or [])
        splits = sweep.data.load(sweep.seed)
        check_data(sweep, splits)
        checks = preflight(sweep.recipe, splits, seed=sweep.seed, num_threads=max(1, int(sweep.resources.cpus)))
        show_checks(checks, as_json=as_json)
    if any(check.verdict == "failed" for check in checks):
        raise typer.Exit(1)
