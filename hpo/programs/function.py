"""A training function of the user's own, any framework, as segments."""

import importlib
import inspect
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hpo.paths import SweepPaths
from hpo.programs.handover import in_turns
from hpo.programs.one_by_one import one_by_one
from hpo.programs.reporting import report_of
from hpo.programs.state import read_state
from hpo.programs.trial import Bounds, Told, Trial
from hpo.records import Message, Report, Segment, TrialSpec

Fit = Callable[[Trial], object]


def load_function(path: str) -> Fit:
    """The function that `package.module:function` names; to import its module is to run it.

    Raises:
        ValueError: if there is none, or none of one argument.
    """
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"must name a function that Python can import from the folder of the sweep, but {error}. Mend the path."
        ) from error
    try:
        inspect.signature(function).bind(object())
    except (TypeError, ValueError) as error:
        raise ValueError(f"must be a function of one argument, the trial, but {error}. Change it.") from error
    fit: Fit = function
    return fit


@dataclass(frozen=True, kw_only=True)
class FunctionWorkload:
    """Calls the function for one trial after the other, in the same process."""

    function: str
    """By its path; see `load_function`."""
    metric: str
    max_epochs: int
    paths: SweepPaths
    search_path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    """Where Python looks for modules: the driver's, for every worker."""

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        """A function that trains segments in this process."""
        sys.path[:] = [*self.search_path, *(folder for folder in sys.path if folder not in self.search_path)]
        return partial(self._train, num_threads=num_threads, use_gpu=use_gpu)

    def _train(self, segment: Segment, *, num_threads: int, use_gpu: bool) -> Iterator[Message]:
        def begin(spec: TrialSpec, folder: Path, tell: Callable[[Told], None]) -> Trial:
            settings, checkpoint = json.loads(spec.recipe), segment.checkpoints.get(spec.trial_id)
            bounds = Bounds(
                from_epoch=segment.from_epoch, to_epoch=segment.to_epoch, max_epochs=self.max_epochs, metric=self.metric
            )
            params = settings["params"].items()
            (folder / "scratch").mkdir()
            return Trial(
                trial_id=spec.trial_id,
                params={path: tuple(value) if isinstance(value, list) else value for path, value in params},
                seed=settings["seed"],
                state=None if checkpoint is None else read_state(checkpoint, folder),
                folder=folder / "scratch",
                device="cuda" if use_gpu else "cpu",
                num_threads=num_threads,
                bounds=bounds,
                tell=tell,
            )

        yield from one_by_one(segment, partial(self._train_one, segment=segment, begin=begin))

    def _train_one(
        self, spec: TrialSpec, segment: Segment, begin: Callable[[TrialSpec, Path, Callable[[Told], None]], Trial]
    ) -> Iterator[Report]:
        def run(tell: Callable[[Told], None]) -> None:
            trial = begin(spec, Path(folder), tell)
            load_function(self.function)(trial)
            trial.check_through()

        left_s, began_s = segment.left_s.get(spec.trial_id, math.inf), time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="hpo-", ignore_cleanup_errors=True) as folder:
            for told in in_turns(run):
                seconds = time.perf_counter() - began_s
                report = report_of(told, spec, segment, self.paths, seconds)
                yield report
                left_s -= seconds
                if report.is_last or left_s < 0:
                    return
                began_s = time.perf_counter()
