"""Segments as Ray Tune trials: Tune gives them resources, placement and warm processes, and decides nothing."""

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self

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
from hpo.execution.capacity import Portion, check, lacks_cores_alone, num_beside, num_slots, unmet
from hpo.execution.commons import Share
from hpo.execution.executor import NextSegment, OnReport, OnSegmentEnd, SharedWorkload, Workload
from hpo.execution.searcher import SegmentSearcher
from hpo.execution.slots import Slots
from hpo.execution.team import TeamWorkload
from hpo.execution.trainable import SegmentTrainable
from hpo.execution.turns import START_S, WarmFirst
from hpo.execution.watchman import Watchman
from hpo.scheduling.shares import Claim

logger = logging.getLogger(__name__)

MOST_SLOTS = 100_000
"""Of Tune's: how many segments there are at once changes with the cluster, and the searcher says."""
TURN_LOOK_S = 0.2
"""Between two looks of a sweep without slots at whether it has some."""
MOST_ENDS = 3
"""How often in a row Tune may end by itself, with no segment trained in between, before the sweep does."""
_REGISTERING = threading.Lock()
"""Tune has one registry of classes by name, and loses some that threads register at the same time."""


class RayExecutor:
    """Runs each segment as one Ray Tune trial in an actor that stays warm for the next."""

    def __init__(
        self,
        workload: Workload,
        *,
        folder: Path,
        portion: Portion = Portion(),  # noqa: B008 - frozen
        max_concurrent: int | None = None,
        autoscaling: bool = False,
        priority: float | None = None,
        first: Self | None = None,
    ) -> None:
        """Needs a connected Ray.

        Args:
            workload: sent to every node once, through the object store.
            folder: for Ray Tune's own bookkeeping.
            portion: that each segment is given; its CPUs are also its number of threads, and if it has several
                workers they need a `SharedWorkload`.
            max_concurrent: segments at once; as many as fit, if none.
            autoscaling: whether the cluster starts nodes on demand; needs `max_concurrent`.
            priority: among the sweeps of the cluster; none: nobody shares it.
            first: of the same sweep, with another portion: this one has what that one leaves, as long as it does, and
                of `max_concurrent` too.

        Raises:
            ResourceError: if the cluster cannot hold a single segment, or `first` leaves no room for one, or workers
                cannot share the workload.
        """
        check(portion, autoscaling=autoscaling)
        self._workload = workload if portion.workers == 1 else _for_team(workload, portion)
        self._portion = portion
        self._max_concurrent = max_concurrent
        self._most = partial(num_slots, portion, max_concurrent, autoscaling=autoscaling)
        if first is not None:
            self._most = partial(self._left_by, first)
        self._slots = Slots(self._most())
        if first is not None and self._slots.num == 0:
            raise ResourceError(
                f"resources.also: the machines must have cpus={portion.cpus:g} and gpus={portion.gpus:g} left beside "
                f"{first.num_slots} slots of the first kind, but have not. Ask for less, let the first kind ask for "
                "what is scarce, or delete it."
            )
        self._is_bound = not autoscaling  # otherwise what it may not have yet is what nodes are started for
        self._priority = priority
        self._share: Share = Share() if first is None else first._share.beside()
        self._share.is_over = self._slots.is_over.is_set
        self._folder = folder
        self._is_interrupted = False
        self._is_released = False
        self._searcher: SegmentSearcher | None = None

    @property
    def num_slots(self) -> int:
        """See `Executor.num_slots`: follows the cluster, and those who share it, within seconds."""
        return max(1, self._slots.num)

    @property
    def num_held(self) -> int:
        """The same, but 0 while there is none."""
        return self._slots.num

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        """See `Executor.run`. What ends Tune, as a worker does that is killed for its memory, costs what was running.

        Raises:
            WorkersError: if that happens again and again.
        """
        self._is_released = False
        try:
            with self._slots.kept_up(self._count):
                self._run(next_segment, on_report, on_segment_end)
        finally:
            self._share.leave()

    def unmet(self) -> str | None:
        """See `Executor.unmet`; in the numbers of the cluster."""
        searcher, allowance, said = self._searcher, self._share.allowance, []
        wants_more = searcher is None or searcher.num_wanted is None
        if allowance is not None and wants_more and self._slots.num < (most := self._most()):
            others = "another sweep" if allowance.num_sweeps == 2 else f"{allowance.num_sweeps - 1} others"
            said.append(f"waits for its share: {allowance.num} of {most} slots, beside {others}")
        if searcher is not None and searcher.num_unbegun:
            said.append(unmet(searcher.num_unbegun, self._portion))
        return "; ".join(said) or None

    def interrupt(self) -> None:
        """See `Executor.interrupt`; workers end at once."""
        self._is_interrupted = True

    def release(self) -> None:
        """Make `run` return soon if it waits for slots, for there is nothing more to train."""
        self._is_released = True

    def _run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        num_ends = 0
        while self._has_turn():
            searcher = self._searcher = SegmentSearcher(
                next_segment, on_report, on_segment_end, lambda: self._slots.num
            )
            cause = self._fit(searcher)
            if searcher.raised is not None:
                raise searcher.raised from None  # ours: Tune wraps some exceptions of its hooks and swallows others
            if cause is None and searcher.has_stood_down:
                continue
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

    def _has_turn(self) -> bool:
        """Wait until there are slots; whether there are any, or nobody waits for them any more."""
        while self._slots.num == 0:
            if self._is_interrupted or self._is_released:
                return False
            time.sleep(TURN_LOOK_S)
        return not self._is_interrupted

    def _count(self) -> int:
        """Slots as of now: of the cluster, or of those the share of this sweep."""
        most = self._most()
        if self._priority is None:
            return most
        searcher = self._searcher
        wanted = None if searcher is None else searcher.num_wanted
        claim = Claim(
            priority=self._priority,
            needs=self._portion.needs,
            workers=self._portion.workers,
            wanted=most if wanted is None else min(wanted, most),
            kept=0 if searcher is None else min(searcher.num_live, most),
        )
        allowance = self._share.claim(claim)
        return most if allowance is None or not self._is_bound else allowance.num

    def _left_by(self, first: Self) -> int:
        """Slots that another portion leaves; fewer while its workers do not find the room that was counted for them."""
        num = num_beside(self._portion, first._portion, first._most())
        if self._max_concurrent is not None:
            num = min(num, self._max_concurrent - first._most())
        return max(0, num - first._num_owed())

    def _num_owed(self) -> int:
        """Slots that others of the sweep are to give up: one for each minute that a segment waits for cores alone."""
        searcher = self._searcher
        if searcher is None or not searcher.num_unbegun or not lacks_cores_alone(self._portion):
            return 0
        return sum(int(waited_s / START_S) for waited_s in searcher.find_waited_s(time.monotonic()))

    def _fit(self, searcher: SegmentSearcher) -> str | None:
        """Run Tune until there are no more segments; otherwise why it has ended."""
        try:
            with quiet_tune():
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
            num_threads=self._portion.num_threads,
            use_gpu=self._portion.gpus > 0,
        )
        name = f"{SegmentTrainable.__name__}-{self._portion.cpus:g}-{self._portion.gpus:g}"
        with _REGISTERING:
            tune.register_trainable(name, tune.with_resources(trainable, self._bundles()))
        return tune.Tuner(
            name,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=WarmFirst(searcher),
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

    def _bundles(self) -> tune.PlacementGroupFactory:
        """One for each worker, close together; whoever has several train needs none of his own: an empty one."""
        bundles = [self._portion.needs] * self._portion.workers
        return tune.PlacementGroupFactory(bundles if len(bundles) == 1 else [{}, *bundles], strategy="PACK")


def _for_team(workload: Workload, portion: Portion) -> TeamWorkload:
    if not isinstance(workload, SharedWorkload):
        raise ResourceError(
            f"resources.workers: must be 1 for what each process can only train alone, but got {portion.workers}."
        )
    shared = ray.put(workload)
    return TeamWorkload(shared=shared, num_workers=portion.workers, cpus=portion.cpus, gpus=portion.gpus)


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Tune logs each lost worker and each exception of its hooks with several tracebacks; both are our records."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
