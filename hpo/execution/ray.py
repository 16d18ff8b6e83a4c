"""Segments as Ray Tune trials: Tune gives them resources, placement and warm processes, and decides nothing."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.update(
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # five files per trial that nobody reads
    TUNE_DISABLE_STRICT_METRIC_CHECKING="1",  # one result without a metric would end the sweep
    TUNE_DISABLE_SIGINT_HANDLER="1",  # it would take the first Ctrl-C, which is the driver's
    TUNE_GLOBAL_CHECKPOINT_S="86400",  # Tune's snapshots are never restored
    RAY_AIR_NEW_OUTPUT="0",
)

import ray
from ray import tune
from ray.tune.search import Searcher

from hpo.errors import ResourceError
from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd, Workload
from hpo.execution.trainable import MESSAGES, SEGMENT, SegmentTrainable
from hpo.records import Failure, Idle, Report, Segment, SegmentEnd

LEAST_REST_S, MOST_REST_S, REST_SHARE = 0.1, 30.0, 0.1
"""How long a worker without a segment waits before it asks again."""


class RayExecutor:
    """Runs each segment as one Ray Tune trial in an actor that stays warm for the next."""

    def __init__(
        self, workload: Workload, *, folder: Path, cpus: float = 1, gpus: float = 0, max_concurrent: int | None = None
    ) -> None:
        """Needs a connected Ray.

        Args:
            workload: sent to every node once, through the object store.
            folder: for Ray Tune's own bookkeeping.
            cpus: of one segment; also its number of threads.
            gpus: of one segment, may be a fraction.
            max_concurrent: segments at once; as many as fit, if none.

        Raises:
            ResourceError: if the cluster cannot hold a single segment.
        """
        self.num_slots = min(_num_fitting(cpus, gpus), max_concurrent or 1_000_000)
        self._workload = workload
        self._folder = folder
        self._resources = {"cpu": cpus, "gpu": gpus}

    def interrupt(self) -> None:
        """See `Executor.interrupt`: Tune ends at once, its workers too."""
        signal.raise_signal(signal.SIGUSR1)

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`."""
        num_threads = max(1, int(self._resources["cpu"]))
        trainable = tune.with_parameters(
            SegmentTrainable,
            workload=self._workload,
            num_threads=num_threads,
            use_gpu=self._resources["gpu"] > 0,
        )
        searcher = _SegmentSearcher(next_segment, on_report, on_segment_end)
        tuner = tune.Tuner(
            tune.with_resources(trainable, self._resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=self.num_slots,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(self._folder.absolute()),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        try:
            with _quiet_tune():
                tuner.fit()
        finally:
            if searcher.raised is not None:
                raise searcher.raised from None  # ours: Tune wraps some exceptions of its hooks and swallows others


class _SegmentSearcher(Searcher):
    """Hands segments to Tune as if they were proposals, and their results back."""

    def __init__(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        super().__init__(metric=None, mode=None)
        self.raised: Exception | None = None
        self._next_segment = next_segment
        self._on_report = on_report
        self._on_segment_end = on_segment_end
        self._running: dict[str, tuple[Segment, list[Failure]]] = {}
        self._waiting_since: float | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]  # FINISHED is a string
        with self._keeping_what_is_raised():
            match self._next_segment():
                case Segment() as segment:
                    self._running[trial_id] = (segment, [])
                    self._waiting_since = None
                    return {SEGMENT: segment}
                case Idle.WAIT:  # Tune would end a worker that has no trial, and a new one takes seconds
                    return {SEGMENT: self._rest_s(time.monotonic())}
                case Idle.DONE:
                    return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        with self._keeping_what_is_raised():
            for message in result.get(MESSAGES, ()):
                match message:
                    case Report():
                        self._on_report(message)
                    case Failure():
                        self._running[trial_id][1].append(message)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id not in self._running:
            return  # it rested
        if result is not None and not error:
            self.on_trial_result(trial_id, result)
        with self._keeping_what_is_raised():
            segment, failures = self._running.pop(trial_id)
            lost = "the worker process died" if error else None
            self._on_segment_end(SegmentEnd(segment=segment, failures=tuple(failures), lost=lost))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study holds the truth."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: Tune's snapshots are never used."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of the driver: Tune pickles its searcher, for the restores that we never ask for."""
        return {}

    def _rest_s(self, now: float) -> float:
        """A tenth of how long there has been nothing: work waits little, and a long wait makes few Ray trials."""
        self._waiting_since = self._waiting_since or now
        return min(max(REST_SHARE * (now - self._waiting_since), LEAST_REST_S), MOST_REST_S)

    @contextmanager
    def _keeping_what_is_raised(self) -> Iterator[None]:
        """An exception of the driver's ends the run at this hook or, where Tune swallows it, at the next one."""
        if self.raised is not None:
            raise self.raised
        try:
            yield
        except Exception as error:
            self.raised = error
            raise


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Tune logs each lost worker and each exception of its hooks with several tracebacks; both are our records."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _num_fitting(cpus: float, gpus: float) -> int:
    """How many segments of this size the cluster holds at once, node by node."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    num = sum(
        int(min(*(node.get(kind, 0) / need for kind, need in (("CPU", cpus), ("GPU", gpus)) if need > 0), 1e6))
        for node in nodes
    )
    if num == 0:
        most = {kind: max(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU")}
        raise ResourceError(
            f"resources: a node must offer cpus={cpus:g} and gpus={gpus:g}, but the largest of {len(nodes)} has "
            f"{most['CPU']:g} CPUs and {most['GPU']:g} GPUs. Ask for less, or join a larger node."
        )
    return num
