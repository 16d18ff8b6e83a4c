"""Segments as Ray Tune trials: Tune gives them resources, placement and warm processes, and decides nothing."""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.update(
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # five files per trial that nobody reads
    TUNE_DISABLE_SIGINT_HANDLER="1",  # it would take the first Ctrl-C, which is the driver's
    TUNE_DISABLE_STRICT_METRIC_CHECKING="1",  # one result without a metric would end the sweep
    TUNE_GLOBAL_CHECKPOINT_S="86400",  # Tune's snapshots are never restored
    RAY_AIR_NEW_OUTPUT="0",
)

import ray
from ray import tune

from hpo.errors import ResourceError, WorkersError
from hpo.execution.capacity import num_slots, unmet
from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd, SharedWorkload, Workload
from hpo.execution.searcher import SegmentSearcher
from hpo.execution.team import TeamWorkload
from hpo.execution.trainable import SegmentTrainable
from hpo.execution.watchman import Watchman

logger = logging.getLogger(__name__)

MOST_ENDS = 3
"""How often in a row Tune may end by itself, with no segment trained in between, before the sweep does."""


class RayExecutor:
    """Runs each segment as one Ray Tune trial in an actor that stays warm for the next."""

    def __init__(
        self,
        workload: Workload,
        *,
        folder: Path,
        cpus: float = 1,
        gpus: float = 0,
        max_concurrent: int | None = None,
        autoscaling: bool = False,
        workers: int = 1,
    ) -> None:
        """Needs a connected Ray.

        Args:
            workload: sent to every node once, through the object store.
            folder: for Ray Tune's own bookkeeping.
            cpus: of one segment, or of each of its workers; also its number of threads.
            gpus: of the same, may be a fraction.
            max_concurrent: segments at once; as many as fit, if none.
            autoscaling: whether the cluster starts nodes on demand; needs `max_concurrent`.
            workers: that train a segment together; more than one need a `SharedWorkload`.

        Raises:
            ResourceError: if the cluster cannot hold a single segment, or workers cannot share the workload.
        """
        self.num_slots = num_slots(cpus, gpus, max_concurrent, autoscaling=autoscaling, workers=workers)
        if workers > 1:
            if not isinstance(workload, SharedWorkload):
                raise ResourceError(
                    f"resources.workers: must be 1 for what each process can only train alone, but got {workers}."
                )
            workload = TeamWorkload(shared=ray.put(workload), num_workers=workers, cpus=cpus, gpus=gpus)
        self._workload = workload
        self._num_workers = workers
        self._folder = folder
        self._resources = {"cpu": cpus, "gpu": gpus}
        self._is_interrupted = False
        self._searcher: SegmentSearcher | None = None

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`. What ends Tune, as a worker does that is killed for its memory, costs what was running.

        Raises:
            WorkersError: if that happens again and again.
        """
        num_ends = 0
        while True:
            searcher = self._searcher = SegmentSearcher(next_segment, on_report, on_segment_end)
            cause = self._fit(searcher)
            if searcher.raised is not None:
                raise searcher.raised from None  # ours: Tune wraps some exceptions of its hooks and swallows others
            if cause is None or self._is_interrupted:
                return
            num_ends = 1 if searcher.num_ended else num_ends + 1
            if num_ends == MOST_ENDS:
                raise WorkersError(
                    f"workers must last until they have trained one segment, but Ray Tune ended {MOST_ENDS} times in a "
                    f"row before that, the last time by: {cause}; mend that, then resume the sweep."
                )
            logger.warning("Ray Tune ended (%s); what was running trains again.", cause)
            searcher.lose_all(cause)

    def unmet(self) -> str | None:
        """See `Executor.unmet`; in the numbers of the cluster."""
        num = 0 if self._searcher is None else self._searcher.num_unbegun
        return None if num == 0 else unmet(num, self._resources["cpu"], self._resources["gpu"], self._num_workers)

    def interrupt(self) -> None:
        """See `Executor.interrupt`; workers end at once."""
        self._is_interrupted = True

    def _fit(self, searcher: SegmentSearcher) -> str | None:
        """Run Tune until there are no more segments; otherwise why it has ended."""
        try:
            with _quiet_tune():
                self._tuner(searcher).fit()
        except Exception as error:  # noqa: BLE001 - Tune ends by whatever it does not know
            cause = " ".join(str(error.__cause__ or error).split()).rstrip(".") or type(error).__name__
        else:
            return None
        gc.collect()  # workers and placement groups, where Tune has failed to give them back
        return cause

    def _tuner(self, searcher: SegmentSearcher) -> tune.Tuner:
        trainable = tune.with_parameters(
            SegmentTrainable,
            workload=self._workload,
            num_threads=max(1, int(self._resources["cpu"])),
            use_gpu=self._resources["gpu"] > 0,
        )
        return tune.Tuner(
            tune.with_resources(trainable, self._resources if self._num_workers == 1 else self._bundles()),
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
                callbacks=[Watchman(searcher, lambda: self._is_interrupted)],
                verbose=0,
            ),
        )

    def _bundles(self) -> tune.PlacementGroupFactory:
        """One for each worker, close together; whoever has them train needs none of his own, hence the empty one."""
        bundle = {kind.upper(): need for kind, need in self._resources.items() if need > 0}
        return tune.PlacementGroupFactory([{}, *([bundle] * self._num_workers)], strategy="PACK")


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
