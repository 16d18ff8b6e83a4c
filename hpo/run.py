"""run_sweep(): one sweep, from its validated file to its best model."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import import_module, metadata

from hpo.disk import want_of_room_told
from hpo.execution.executor import Executor
from hpo.execution.local import LocalExecutor
from hpo.folders.folder import check_states, load_splits, make_folder, open_any
from hpo.folders.journal import logged
from hpo.outcome import SweepResult, status_after, summarize
from hpo.paths import SweepPaths, written_beside
from hpo.progress import Watch
from hpo.records import TrialRecord
from hpo.results.lr_curve import write_lr_curve
from hpo.results.rungs import summarize_rungs
from hpo.results.table import find_front, leaderboard
from hpo.room import check_room
from hpo.search.study import Study
from hpo.search.terms import Search
from hpo.stages import Stages
from hpo.sweep import AnySweep, OwnSweep, Sweep, check_data, find_lr_curve, settled, settled_own, with_lr_bounds
from hpo.tracking.mlflow import MlflowTracker
from hpo.tracking.tracker import NullTracker, SweepStatus, Tracker
from hpo.training.data import Splits
from hpo.training.lr_range import LrCurve
from hpo.work import LocatedWorkload, OwnWork, RecipeWork, Work

logger = logging.getLogger(__name__)

StartExecutor = Callable[..., Executor]
"""Of a sweep and its workload."""


def start_ray(sweep: AnySweep, workload: LocatedWorkload) -> Executor:
    """Ray Tune, on the cluster that RAY_ADDRESS names or on one started here.

    Raises:
        HpoError: if that holds no segment, or one of its nodes does not reach the sweep's states.
    """
    from hpo.execution.cluster import connect, is_shared  # noqa: PLC0415 - a sweep that runs locally needs no Ray

    with ThreadPoolExecutor(1) as pool:
        pool.submit(import_module, "hpo.execution.ray")
        connect(code=workload.paths.shipped)  # waits for Ray's processes, long enough to import Tune
    from hpo.execution.capacity import Portion  # noqa: PLC0415 - imported by now
    from hpo.execution.nodes import check_reach  # noqa: PLC0415 - likewise
    from hpo.execution.ray import RayExecutor  # noqa: PLC0415 - likewise
    from hpo.execution.side_by_side import SideBySide  # noqa: PLC0415 - likewise

    check_reach(workload.paths.states)
    asked, also = sweep.resources, sweep.resources.also
    start = partial(
        RayExecutor,
        workload,
        folder=workload.paths.ray,
        max_concurrent=None if asked.max_concurrent == "auto" else asked.max_concurrent,
        autoscaling=asked.autoscaling,
        priority=asked.priority if is_shared() else None,
    )
    first = start(portion=Portion(cpus=asked.cpus, gpus=asked.gpus, workers=asked.workers))
    if also is None:
        return first
    return SideBySide([first, start(portion=Portion(cpus=also.cpus, gpus=also.gpus), first=first)])


def start_local(sweep: AnySweep, workload: LocatedWorkload) -> Executor:
    """This process alone, also where trials ask for several workers: they change a result in its last digits only."""
    if sweep.resources.workers > 1:
        logger.warning("Each trial trains in this process alone, not on %d workers.", sweep.resources.workers)
    return LocalExecutor(workload, num_threads=max(1, int(sweep.resources.cpus)), use_gpu=sweep.resources.gpus > 0)


def run_sweep(
    sweep: AnySweep,
    *,
    watch: Watch = lambda _: None,
    start_executor: StartExecutor = start_ray,
    sweep_id: str | None = None,
) -> SweepResult:
    """Search as the sweep file says, and export the best model.

    Args:
        sweep: from `load_any`.
        watch: told how the sweep stands, a few times a second, between reports.
        start_executor: where to train.
        sweep_id: of the sweep, which no other may have; made up where none is given.

    Raises:
        HpoError: if data, function or disk do not fit the sweep, or its learning-rate range test says nothing, before
            any worker starts; if trial after trial fails alike; or if the disk is full, which pauses the sweep.
    """
    if isinstance(sweep, OwnSweep):
        own, reasons = settled_own(sweep)
        work = OwnWork(own)
        work.check()
        return replace(_carry_out(work, make_folder(own, sweep_id=sweep_id), watch, start_executor), why=reasons)
    splits = sweep.data.load(sweep.seed)
    check_data(sweep, splits)
    sweep, reasons = settled(sweep, splits)
    check_room(sweep, splits)
    sweep, curve = _tested(sweep, splits)
    paths = make_folder(sweep, splits.digest, sweep_id)
    if curve is not None:
        write_lr_curve(paths.lr_range, curve)
    return replace(_carry_out(RecipeWork(sweep, splits), paths, watch, start_executor), why=reasons)


def resume_sweep(
    paths: SweepPaths, *, watch: Watch = lambda _: None, start_executor: StartExecutor = start_ray
) -> SweepResult:
    """Go on with a sweep that was paused, whose driver died, or that was given more: as if nothing had happened.

    Args:
        paths: the sweep's.
        watch: see `run_sweep`.
        start_executor: see `run_sweep`; it need not be where the sweep began.

    Raises:
        HpoError: if it has a driver, or its files, data or function are not what they were.
    """
    return _carry_out(_reopened(paths), paths, watch, start_executor)


def cancel_sweep(paths: SweepPaths) -> SweepResult:
    """End every trial of a sweep that no driver has, at its last state, and export the best.

    Raises:
        HpoError: see `resume_sweep`.
    """
    sweep = open_any(paths)
    work = OwnWork(sweep) if isinstance(sweep, OwnSweep) else RecipeWork(sweep, load_splits(sweep, paths))
    return _carry_out(work, paths, lambda _: None, None)


def _reopened(paths: SweepPaths) -> Work:
    """Checked as at its beginning."""
    sweep = open_any(paths)
    if isinstance(sweep, OwnSweep):
        own = OwnWork(sweep)
        own.check()
        return own
    splits = load_splits(sweep, paths)
    check_data(sweep, splits)
    return RecipeWork(sweep, splits)


def _tested(sweep: Sweep, splits: Splits) -> tuple[Sweep, LrCurve | None]:
    """The sweep with the bounds that its learning-rate range test proposes, and the curve; as it is without a test."""
    if sweep.lr_range is None:
        return sweep, None
    curve = find_lr_curve(sweep, splits)
    bounded = with_lr_bounds(sweep, curve.suggest())
    logger.info("%s, so optimizer.lr is searched in %s.", curve.suggest(), bounded.space["optimizer.lr"])
    return bounded, curve


def _carry_out(work: Work, paths: SweepPaths, watch: Watch, start_executor: StartExecutor | None) -> SweepResult:
    """From wherever the sweep stands to its end, or to where it is interrupted."""
    sweep, started = work.sweep, time.monotonic()
    tracker = _make_tracker(sweep, paths)
    summary: dict[str, float | int | str] = {}
    status = SweepStatus.FAILED
    with logged(paths.log), want_of_room_told(paths):
        try:
            tracker.log_artifact(paths.resolved)
            if paths.lr_range.exists():
                tracker.log_artifact(paths.lr_range)
            result = _search(work, paths, tracker, watch, start_executor)
            if result.status is not SweepStatus.PAUSED:
                result = work.take(result, tracker)
            summary = summarize(sweep, result)
            status = result.status
            logger.info("%s is %s.", paths.sweep_id, status)
        except Exception as error:
            status = status_after(error)
            raise
        finally:
            untracked = tracker.finish(summary, status)
    bundle = paths.bundle if paths.bundle.exists() else None
    return replace(result, bundle=bundle, untracked=untracked, elapsed_s=time.monotonic() - started)


def _search(
    work: Work, paths: SweepPaths, tracker: Tracker, watch: Watch, start_executor: StartExecutor | None
) -> SweepResult:
    """Train, until the budget is spent or someone interrupts."""
    sweep, workload = work.sweep, work.workload(paths)
    with ExitStack() as resources:
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(lambda: resources.enter_context(_open_study(work, paths)))
            # in the main thread, with which Ray's processes end
            executor = None if start_executor is None else start_executor(sweep, workload)
        study = opening.result()
        check_states(workload.paths, study.trials())
        lineup = work.lineup()
        if lineup is not None:
            resources.enter_context(lineup.kept_up())
        stages = Stages(sweep, study, tracker, watch, paths, wanted=partial(work.wanted, paths), lineup=lineup)
        if executor is not None:
            status, progress = stages.run(executor)
        if executor is None or status is SweepStatus.CANCELLED:
            status, progress = SweepStatus.CANCELLED, stages.cancel()
        watch(progress)
        trials = study.trials()
        front = _list(trials, sweep, paths, tracker)
    return SweepResult(
        paths=paths,
        trials=trials,
        best=progress.best,
        front=front,
        space=sweep.space,
        ends=progress.ends,
        rungs=summarize_rungs(trials, sweep.metric.goal),
        num_epochs=progress.num_epochs,
        mean_lanes=progress.mean_lanes,
        elapsed_s=progress.elapsed_s,
        status=status,
    )


def _list(trials: Sequence[TrialRecord], sweep: AnySweep, paths: SweepPaths, tracker: Tracker) -> list[TrialRecord]:
    """Leave a table of all trials; with several metrics, returned are those of the front, who are told in MLflow."""
    with written_beside(paths.leaderboard) as beside:
        leaderboard(trials, sweep.goals).to_csv(beside, index=False)
    tracker.log_artifact(paths.leaderboard)
    front = find_front(trials, sweep.goals) if len(sweep.goals) > 1 else []
    for trial in front:
        tracker.tag(trial.trial_id, {"hpo.pareto": "true"})
    return front


def _open_study(work: Work, paths: SweepPaths) -> Study:
    sweep = work.sweep
    return Study.open(
        sweep.storage.place(paths),
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
            derive=work.derive,
        ),
    )


def _make_tracker(sweep: AnySweep, paths: SweepPaths) -> Tracker:
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
