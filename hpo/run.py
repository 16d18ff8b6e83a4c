"""run_sweep(): one sweep, from its validated file to its best model."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module, metadata
from pathlib import Path

from hpo.driver import Driver
from hpo.errors import NoAverageError, ResourceError
from hpo.execution.executor import Executor
from hpo.execution.local import LocalExecutor
from hpo.export.trial import export_trial
from hpo.origin import origin, write_parents
from hpo.paths import SweepPaths, written_beside
from hpo.progress import Watch
from hpo.records import EndKind, TrialRecord
from hpo.results.lr_curve import write_lr_curve
from hpo.results.rungs import Rung, summarize_rungs
from hpo.results.table import find_front, leaderboard
from hpo.search.study import Study
from hpo.search.terms import Search
from hpo.spaces import Space
from hpo.sweep import Export, Sweep, check_data, dump_resolved, find_lr_curve, settled, with_lr_bounds
from hpo.tracking.location import absolute
from hpo.tracking.mlflow import MlflowTracker
from hpo.tracking.tracker import NullTracker, SweepStatus, Tracker
from hpo.training.data import Splits
from hpo.training.lr_range import LrCurve
from hpo.training.recipe import raw_params, with_params
from hpo.training.teacher import teacher_log_probs
from hpo.training.workload import TorchWorkload

logger = logging.getLogger(__name__)

StartExecutor = Callable[[Sweep, TorchWorkload], Executor]


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a sweep came to."""

    paths: SweepPaths
    best: TrialRecord | None
    """By the first metric, where there are several; none if no trial was ever measured."""
    space: Space
    """What was searched: with the bounds that a learning-rate range test has proposed, where there was one."""
    ends: Mapping[EndKind, int]
    rungs: Sequence[Rung]
    """What was decided at each, and how right that was."""
    num_epochs: int
    mean_lanes: float
    """Trials that trained side by side, on average."""
    elapsed_s: float
    status: SweepStatus
    front: Sequence[TrialRecord] = ()
    """With several metrics, the complete trials that no other beats in all of them."""
    why: tuple[str, ...] = ()
    """What was chosen where the file leaves sampler or scheduler open, and why."""
    bundle: Path | None = None
    """The best model, exported."""
    untracked: str | None = None
    """What MLflow did not take, and why; none when it shows everything."""


def start_ray(sweep: Sweep, workload: TorchWorkload) -> Executor:
    """Ray Tune, on the cluster that RAY_ADDRESS names or on one started here."""
    from hpo.execution.cluster import connect  # noqa: PLC0415 - a sweep that runs locally needs no Ray

    with ThreadPoolExecutor(1) as pool:
        pool.submit(import_module, "hpo.execution.ray")
        connect()  # waits for Ray's processes, long enough to import Tune
    from hpo.execution.ray import RayExecutor  # noqa: PLC0415 - imported by now

    asked = sweep.resources
    return RayExecutor(
        workload,
        folder=workload.paths.ray,
        cpus=asked.cpus,
        gpus=asked.gpus,
        max_concurrent=None if asked.max_concurrent == "auto" else asked.max_concurrent,
    )


def start_local(sweep: Sweep, workload: TorchWorkload) -> Executor:
    """This process alone."""
    return LocalExecutor(workload, num_threads=max(1, int(sweep.resources.cpus)), use_gpu=sweep.resources.gpus > 0)


def run_sweep(sweep: Sweep, *, watch: Watch = lambda _: None, start_executor: StartExecutor = start_ray) -> SweepResult:
    """Search as the sweep file says, and export the best model.

    Args:
        sweep: from `load_sweep`.
        watch: told how the sweep stands, a few times a second, between reports.
        start_executor: where to train.

    Raises:
        HpoError: if the data do not fit the sweep, or its learning-rate range test says nothing, before any worker
            starts; or if trial after trial fails alike.
    """
    started = time.monotonic()
    splits = sweep.data.load(sweep.seed)
    check_data(sweep, splits)
    sweep, reasons = settled(sweep, splits)
    sweep, curve = _tested(sweep, splits)
    paths = make_folder(sweep)
    if curve is not None:
        write_lr_curve(paths.lr_range, curve)
    tracker = _make_tracker(sweep, paths)
    tracker.log_artifact(paths.resolved)
    if paths.lr_range.exists():
        tracker.log_artifact(paths.lr_range)
    summary: dict[str, float | int | str] = {}
    status = SweepStatus.FAILED
    try:
        result = _search(sweep, splits, paths, tracker, watch, start_executor)
        if result.best is not None and sweep.export.formats:
            _export_best(sweep, paths, splits, result.best, tracker)
        summary = _summary(sweep, result)
        status = result.status
    finally:
        untracked = tracker.finish(summary, status)
    bundle = paths.bundle if paths.bundle.exists() else None
    elapsed_s = time.monotonic() - started
    return replace(result, why=reasons, bundle=bundle, untracked=untracked, elapsed_s=elapsed_s)


def export(
    folder: Path,
    sweep: Sweep,
    paths: SweepPaths,
    splits: Splits,
    trial: TrialRecord,
    run_id: str | None = None,
    asked: Export | None = None,
) -> Path:
    """Write the model of one trial of a sweep as a bundle, as it is asked for or else as the sweep says."""
    recipe = with_params(sweep.recipe, trial.params)
    asked = asked or sweep.export
    whence = {**origin(sweep, paths, trial, recipe), "mlflow_run": run_id}
    return export_trial(folder, trial, recipe, splits, whence, asked.inference, asked.weights)


def make_folder(sweep: Sweep) -> SweepPaths:
    """A folder of the sweep's own, with an id that is free; in it the resolved file, and which bundles trials read.

    Raises:
        ResourceError: if it cannot be made.
    """
    while True:
        paths = SweepPaths(sweep.storage.checkpoints.absolute() / f"{sweep.name}-{secrets.token_hex(2)}")
        try:
            paths.root.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise ResourceError(
                f"storage.checkpoints: must be a folder that can be written to, but {error}. Name another."
            ) from error
        with written_beside(paths.resolved) as beside:
            beside.write_text(dump_resolved(_anchored(sweep)), encoding="utf-8")
        write_parents(paths.parents, sweep.recipe)
        return paths


def _anchored(sweep: Sweep) -> Sweep:
    """With a tracking database that is found from any folder."""
    if sweep.tracking is None:
        return sweep
    tracking = sweep.tracking.model_copy(update={"uri": absolute(sweep.tracking.uri)})
    return sweep.model_copy(update={"tracking": tracking})


def _export_best(sweep: Sweep, paths: SweepPaths, splits: Splits, best: TrialRecord, tracker: Tracker) -> None:
    """A sweep that ends before its best trial has an average is no failure: it says why there is no bundle."""
    try:
        export(paths.bundle, sweep, paths, splits, best, run_id=tracker.run_id(best.trial_id))
    except NoAverageError as error:
        logger.warning("No model is exported: %s", error)
        return
    tracker.log_artifact(paths.bundle)


def _tested(sweep: Sweep, splits: Splits) -> tuple[Sweep, LrCurve | None]:
    """The sweep with the bounds that its learning-rate range test proposes, and the curve; as it is without a test."""
    if sweep.lr_range is None:
        return sweep, None
    curve = find_lr_curve(sweep, splits)
    bounded = with_lr_bounds(sweep, curve.suggest())
    logger.info("%s, so optimizer.lr is searched in %s.", curve.suggest(), bounded.space["optimizer.lr"])
    return bounded, curve


def _search(
    sweep: Sweep, splits: Splits, paths: SweepPaths, tracker: Tracker, watch: Watch, start_executor: StartExecutor
) -> SweepResult:
    """Train, until the budget is spent or someone interrupts; every trial is told its end."""
    workload = TorchWorkload(
        train=splits.train,
        validation=splits.validation,
        num_classes=splits.num_classes,
        teacher=teacher_log_probs(sweep.loss, splits.train.x, splits.normalization),
        paths=paths,
        lanes=sweep.resources.lanes,
    )
    with ExitStack() as resources:
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(lambda: resources.enter_context(_open_study(sweep, paths, len(splits.train))))
            executor = start_executor(sweep, workload)  # in the main thread, with which Ray's processes end
        study = opening.result()
        driver = Driver(sweep, study, tracker, watch, num_slots=executor.num_slots, clock=time.monotonic)
        with suppress(KeyboardInterrupt):  # Ray Tune returns from the first one by itself
            executor.run(driver.next_segment, driver.on_report, driver.on_segment_end)
        status = SweepStatus.CANCELLED if driver.is_interrupted else SweepStatus.FINISHED
        driver.end_waiting("interrupted")
        progress = driver.progress()
        watch(progress)
        with written_beside(paths.leaderboard) as beside:
            leaderboard(study.trials(), sweep.goals).to_csv(beside, index=False)
        tracker.log_artifact(paths.leaderboard)
        front = find_front(study.trials(), sweep.goals) if len(sweep.goals) > 1 else []
        for trial in front:
            tracker.tag(trial.trial_id, {"hpo.pareto": "true"})
    return SweepResult(
        paths=paths,
        best=progress.best,
        front=front,
        space=sweep.space,
        ends=progress.ends,
        rungs=summarize_rungs(study.trials(), sweep.metric.goal),
        num_epochs=progress.num_epochs,
        mean_lanes=progress.mean_lanes,
        elapsed_s=progress.elapsed_s,
        status=status,
    )


def _open_study(sweep: Sweep, paths: SweepPaths, num_train: int) -> Study:
    return Study.open(
        paths.study,
        Search(
            space=sweep.space,
            metric=sweep.metric.name,
            goal=sweep.metric.goal,
            others={name: goal for name, goal in sweep.goals.items() if name != sweep.metric.name},
            max_epochs=sweep.epochs,
            sampler=sweep.chosen.sampler,
            seed=sweep.seed,
            constraints=sweep.constraints,
            fixed=sweep.settings,
            points=sweep.points,
            derive=partial(raw_params, sweep.recipe, num_train=num_train),
        ),
    )


def _make_tracker(sweep: Sweep, paths: SweepPaths) -> Tracker:
    if sweep.tracking is None:
        return NullTracker()
    return MlflowTracker(
        sweep.tracking.uri,
        sweep.experiment,
        paths.sweep_id,
        outbox=paths.outbox,
        metric=sweep.metric.name,
        goal=sweep.metric.goal,
        tags={"hpo.version": metadata.version("hpo"), "hpo.folder": str(paths.root)},
    )


def _summary(sweep: Sweep, result: SweepResult) -> dict[str, float | int | str]:
    summary: dict[str, float | int | str] = {f"num_{kind}": num for kind, num in result.ends.items()}
    summary["num_epochs"] = result.num_epochs
    summary["mean_lanes"] = result.mean_lanes
    if result.best is not None and result.best.end is not None and result.best.end.value is not None:
        summary[f"best_{sweep.metric.name}"] = result.best.end.value
        summary["best_trial"] = result.best.trial_id
    return summary
