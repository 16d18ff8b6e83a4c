"""Segments as Ray Tune trials: Tune gives them resources, placement and warm processes, and decides nothing."""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

os.environ.update(
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # five files per trial that nobody reads
    TUNE_DISABLE_SIGINT_HANDLER="1",  # it would take the first Ctrl-C, which is the driver's
    TUNE_DISABLE_STRICT_METRIC_CHECKING="1",  # one result without a metric would end the sweep
    TUNE_GLOBAL_CHECKPOINT_S="86400",  # Tune's snapshots are never restored
    RAY_AIR_NEW_OUTPUT="0",
)

from ray import tune

from hpo.errors import WorkersError
from hpo.execution.capacity import check, num_slots, unmet
from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd, Workload
from hpo.execution.searcher import SegmentSearcher
from hpo.execution.slots import Slots
from hpo.execution.trainable import SegmentTrainable
from hpo.execution.watchman import Watchman

logger = logging.getLogger(__name__)

MOST_SLOTS = 100_000
"""Of Tune's: how many segments there are at once changes with the cluster, and the searcher says."""
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
    ) -> None:
        """Needs a connected Ray.

        Args:
            workload: sent to every node once, through the object store.
            folder: for Ray Tune's own bookkeeping.
            cpus: of one segment; also its number of threads.
            gpus: of one segment, may be a fraction.
            max_concurrent: segments at once; as many as fit, if none.
            autoscaling: whether the cluster starts nodes on demand; needs `max_concurrent`.

        Raises:
            ResourceError: if the cluster cannot hold a single segment.
        """
        check(cpus, gpus, autoscaling=autoscaling)
        self._slots = Slots(partial(num_slots, cpus, gpus, max_concurrent, autoscaling=autoscaling))
        self._workload = workload
        self._folder = folder
        self._resources = {"cpu": cpus, "gpu": gpus}
        self._is_interrupted = False
        self._searcher: SegmentSearcher | None = None

    @property
    def num_slots(self) -> int:
        """See `Executor.num_slots`: follows the cluster, within seconds."""
        return self._slots.num

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`. What ends Tune, as a worker does that is killed for its memory, costs what was running.

        Raises:
            WorkersError: if that happens again and again.
        """
        with self._slots.kept_up():
            self._run(next_segment, on_report, on_segment_end)

    def unmet(self) -> str | None:
        """See `Executor.unmet`; in the numbers of the cluster."""
        num = 0 if self._searcher is None else self._searcher.num_unbegun
        return None if num == 0 else unmet(num, self._resources["cpu"], self._resources["gpu"])

    def interrupt(self) -> None:
        """See `Executor.interrupt`; workers end at once."""
        self._is_interrupted = True

    def _run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        num_ends = 0
        while True:
            searcher = self._searcher = SegmentSearcher(next_segment, on_report, on_segment_end, lambda: self.num_slots)
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
            tune.with_resources(trainable, self._resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=MOST_SLOTS,
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
