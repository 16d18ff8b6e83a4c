"""What a user types."""

import atexit
import gc
import json
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli import analyze, going, preflight, report, status, submit, together
from hpo.cli.conduct import errors_told, make_importable, written_to
from hpo.cli.options import RUNS, Json, OneId, PruneMode, Runs, Set, SweepFile, SweepId, Tta, Weights, numbers, size
from hpo.cli.panels import InPanels, Version
from hpo.cli.remote import on_cluster

app = typer.Typer(
    name="hpo",
    cls=InPanels,
    help="Hyperparameter sweeps for PyTorch: one file in, the best model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def start(_version: Version = False) -> None:
    """Look for garbage more rarely: torch, Ray and MLflow stay to the end, and to look through them takes seconds."""
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


@app.command()
def check(file: SweepFile, set_: Set = None, as_json: Json = False) -> None:
    """Validate a sweep file; show its space, rungs, time and disk. Starts nothing."""
    from hpo.cli import show
    from hpo.cli.own import check_own
    from hpo.plan import make_plan
    from hpo.room import refuse_without_room
    from hpo.sweep import OwnSweep, check_data, load_any, settled

    with errors_told():
        make_importable(file.parent)
        sweep = load_any(file, set_ or [])
        if isinstance(sweep, OwnSweep):
            check_own(sweep, as_json=as_json)
            return
        splits = sweep.data.load(sweep.seed)
        check_data(sweep, splits)
        sweep, reasons = settled(sweep, splits)
        plan = make_plan(sweep, splits)
        refuse_without_room(sweep, plan.disk)
        show.plan(sweep, splits, plan, reasons, as_json=as_json)


@app.command(name="lr-range")
def lr_range(
    file: SweepFile,
    set_: Set = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the curve here, not to NAME-lr-range.")] = None,
    as_json: Json = False,
) -> None:
    """Train the base recipe while its learning rate rises, and say which rates are worth searching."""
    from hpo.cli import show
    from hpo.results.lr_curve import write_lr_curve
    from hpo.sweep import check_data, find_lr_curve, load_sweep

    with errors_told():
        make_importable(file.parent)
        sweep = load_sweep(file, set_ or [])
        splits = sweep.data.load(sweep.seed)
        check_data(sweep, splits)
        curve = find_lr_curve(sweep, splits)
        show.lr_curve(curve, write_lr_curve(out or Path(f"{sweep.name}-lr-range"), curve), as_json=as_json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of sweep files, for editors."""
    from hpo.sweep import sweep_schema

    print(json.dumps(sweep_schema(), indent=2))


@app.command()
def docs(out: Annotated[Path | None, typer.Option("--out", help="Write it here instead.")] = None) -> None:
    """Print every option of a sweep file, with its range, default and meaning, as Markdown."""
    from hpo.sweep.reference import reference

    if out is None:
        print(reference(), end="")
        return
    with errors_told(), written_to(out) as beside:
        beside.write_text(reference(), encoding="utf-8")


@on_cluster(app)
def trials(
    sweep_id: SweepId,
    top: Annotated[int | None, typer.Option("--top", min=1, help="Only the best so many.")] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    runs: Runs = RUNS,
) -> None:
    """The trials of a sweep, best first."""
    from hpo.cli.sweeps import open_sweep
    from hpo.cli.trials_table import show_trials

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv contradict each other: drop one")
    with errors_told():
        sweep, _, records = open_sweep(runs, sweep_id)
        show_trials(records, sweep, top=top, as_json=as_json, as_csv=as_csv)


@on_cluster(app)
def trial(
    which: Annotated[str, typer.Argument(metavar="ID/TRIAL", help="A sweep's id, and the number of a trial.")],
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """One trial: its params, its curve, what was decided at its rungs, and why it ended."""
    if "/" not in which:
        raise typer.BadParameter(f"must be ID/TRIAL, such as {which}/0. The winner is shown by: hpo best {which}")
    _show_trial(which, runs, as_json=as_json)


@on_cluster(app)
def rungs(
    sweep_id: SweepId,
    top: Annotated[int, typer.Option("--top", min=1, help="How many trials at the end count as the best.")] = 5,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """How right the rungs of a sweep were: whom they stopped, and whom its controls say they lost."""
    from hpo.cli.rungs import show_rungs
    from hpo.cli.sweeps import open_sweep
    from hpo.results.rungs import summarize_rungs

    with errors_told():
        sweep, _, records = open_sweep(runs, sweep_id)
        found = summarize_rungs(records, sweep.metric.goal, top)
        show_rungs(found, top, as_json=as_json)


@on_cluster(app)
def best(sweep_id: SweepId, as_json: Json = False, runs: Runs = RUNS) -> None:
    """The winner of a sweep, and its finalists; with several metrics, by the first, and the Pareto front."""
    _show_trial(sweep_id, runs, as_json=as_json)


@app.command(name="export")
def export_(
    which: Annotated[
        str, typer.Argument(metavar="ID[/TRIAL]", help="A sweep, for its best trial, or one trial; ID/ensemble: all.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle: new, empty, or a bundle to replace.")],
    tta: Annotated[
        Tta | None, typer.Option("--tta", help="Average over views of an image; else as in the file.")
    ] = None,
    fold_norms: Annotated[
        bool | None, typer.Option(help="Fold batch norms into the layers before them; else as in the file.")
    ] = None,
    weights: Annotated[
        Weights | None, typer.Option(help="Of the last step, or their average over steps; else as in the file.")
    ] = None,
    onnx: Annotated[
        bool | None, typer.Option(help="Also for ONNX Runtime, to predict without torch; else as in the file.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Write a trial's model, or a sweep's ensemble, as a bundle: model.pt2 and card.json."""
    from hpo.cli import show
    from hpo.cli.sweeps import export_sweep

    with errors_told():
        make_importable(Path())
        card = export_sweep(runs, which, folder, tta=tta, fold_norms=fold_norms, weights=weights, onnx=onnx)
        show.exported(folder, card)


@app.command()
def register(
    which: Annotated[str, typer.Argument(metavar="ID[/TRIAL]", help="As for `hpo export`; or a bundle's folder.")],
    name: Annotated[str, typer.Argument(metavar="NAME[@ALIAS]", help="Of the model, and what moves to its version.")],
    uri: Annotated[str | None, typer.Option("--uri", help="MLflow's store; else the sweep's.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Make a model a version in MLflow's registry, to be served without torch."""
    from hpo.cli.sweeps import register_model

    model, _, alias = name.partition("@")
    if not model:
        raise typer.BadParameter(f"must be NAME or NAME@ALIAS, such as digits@best, but got {name!r}")
    with errors_told():
        make_importable(Path())
        print(register_model(runs, which, model, alias or None, uri))


@app.command()
def prune(
    which: Annotated[str, typer.Argument(metavar="ID[/TRIAL]", help="A sweep, for its best trial, or one trial.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="For the curve and a bundle per amount: new or empty.")],
    mode: Annotated[
        PruneMode, typer.Option(help="Zero the smallest of all weights, or remove the weakest units of every layer.")
    ] = "global_l1",
    amounts: Annotated[
        str, typer.Option(help="Shares to prune, each from the weights as trained; 0: the trial itself.")
    ] = "0,0.5,0.8,0.9,0.95",
    finetune_epochs: Annotated[int, typer.Option(min=0, help="Epochs at a tenth of the trial's learning rate.")] = 5,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Prune a trial by several amounts: what each costs, and a bundle of each."""
    from hpo.cli import show
    from hpo.cli.sweeps import prune_sweep

    shares = numbers(amounts)
    with errors_told():
        make_importable(Path())
        show.curve(
            prune_sweep(runs, which, folder, mode=mode, amounts=shares, num_epochs=finetune_epochs), as_json=as_json
        )


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `hpo export` wrote.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npz of `x` and, where labels are known, `y`.")],
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write log-probabilities here, as .npz.")] = None,
) -> None:
    """Predict with a bundle; with labels, measure it too."""
    from hpo.cli import show
    from hpo.export import load_bundle, predict_file

    with errors_told():
        show.predictions(predict_file(load_bundle(bundle), file), out, as_json=as_json)


@on_cluster(app, "gc")
def gc_(
    sweep_id: SweepId,
    keep: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What states may take, as 500MB; else as in the file.")
    ] = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Free disk: what nobody needs of a sweep that no driver has; with a limit, the worst trials' states too."""
    from hpo.cli import show
    from hpo.cli.sweeps import clean_up_sweep

    limit = None if keep is None else size(keep)
    with errors_told():
        make_importable()
        show.freed(clean_up_sweep(runs, sweep_id, limit), as_json=as_json)


@app.command()
def ui(
    sweep_id: OneId = None,
    uri: Annotated[str | None, typer.Option("--uri", help="MLflow's store; else the sweep's.")] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of this machine.")] = 5000,
    runs: Runs = RUNS,
) -> None:
    """Show sweeps in MLflow's pages, on this machine only, until Ctrl-C."""
    from hpo.cli.sweeps import serve

    with errors_told():
        serve(runs, sweep_id, uri, port)


def _show_trial(which: str, runs: Path, *, as_json: bool) -> None:
    from hpo.cli.sweeps import open_trial
    from hpo.cli.trial import show_trial

    with errors_told():
        record, records, sweep, paths = open_trial(runs, which)
        show_trial(record, records, sweep, paths, of_sweep="/" not in which, as_json=as_json)


app.add_typer(analyze.app)
app.add_typer(going.app)
app.add_typer(preflight.app)
app.add_typer(status.app)
app.add_typer(report.app)
app.add_typer(submit.app)
app.add_typer(together.app)
