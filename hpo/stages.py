"""The stages of a sweep: the search, and the repetitions that what it found asks for."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hpo.driver.driver import Driver
from hpo.driver.shelf import Nobody, Shelf
from hpo.driver.waits import Waits
from hpo.execution.executor import Executor
from hpo.folders.folder import Extensions
from hpo.folders.notice import posted
from hpo.harvest.lineup import Lineup
from hpo.harvest.repeats import Repeat, begin_missing, has_open, without_search
from hpo.interrupts import interrupts
from hpo.paths import SweepPaths
from hpo.progress import EnsembleSoFar, Progress, Watch
from hpo.records import Report, TrialRecord
from hpo.scheduling import Budget
from hpo.search.study import Study
from hpo.sweep import AnySweep
from hpo.tracking.tracker import SweepStatus, Tracker


@dataclass
class Stages:
    """Each has a driver of its own, over one study."""

    sweep: AnySweep
    study: Study
    tracker: Tracker
    watch: Watch
    paths: SweepPaths
    wanted: Callable[[Sequence[TrialRecord]], Iterable[Repeat]]
    """Which repetitions the trials of a search that is over ask for."""
    lineup: Lineup | None = None
    """The ensemble so far; none where the sweep asks for none."""

    def run(self, executor: Executor) -> tuple[SweepStatus, Progress]:
        """Go through all of them, or until someone interrupts.

        Repetitions that an earlier driver has left come first. A sweep that is given more while some train is searched
        on after them.
        """
        is_searched, extensions = False, Extensions(self.paths)
        with interrupts(executor.interrupt) as seen:
            while True:
                repeats = has_open(self.study)
                if repeats:
                    self._tag_repeats()
                driver = self._driver(lambda: executor.num_slots, repeats=repeats)
                self._drive(driver, executor, None if repeats else extensions)
                progress = self._seen(driver.progress())
                if not driver.is_done:
                    return SweepStatus.CANCELLED if seen.is_cancelled else SweepStatus.PAUSED, progress
                is_searched = (is_searched or not repeats) and not self._is_extended(extensions)
                if is_searched and not begin_missing(self.study, self.wanted(self.study.trials())):
                    return SweepStatus.FINISHED, progress

    def cancel(self) -> Progress:
        """End every trial at its last state."""
        driver = self._driver(lambda: 1, repeats=False)
        driver.end_waiting(SweepStatus.CANCELLED.value)
        return self._seen(driver.progress())

    def _tag_repeats(self) -> None:
        """So that nobody takes them for trials of the search."""
        for trial in self.study.trials():
            if trial.repeats is not None and trial.end is None:
                tags = {"hpo.repeats": str(trial.repeats), "hpo.seed_index": str(trial.seed_index)}
                self.tracker.tag(trial.trial_id, tags)

    def _driver(self, num_slots: Callable[[], int], *, repeats: bool) -> Driver:
        terms = without_search(self.sweep, self.study) if repeats else self.sweep
        shelf = Shelf(self.sweep.goals, self.sweep.storage.keep, ensemble=self.lineup or Nobody())
        watch = lambda progress: self.watch(self._seen(progress))  # noqa: E731 - with the ensemble beside it
        return Driver(terms, self.study, self.tracker, watch, num_slots=num_slots, clock=time.monotonic, shelf=shelf)

    def _seen(self, progress: Progress) -> Progress:
        """With the ensemble so far, which is up to date once the sweep is over."""
        if self.lineup is None:
            return progress
        if progress.is_over:
            self.lineup.update()
        return replace(progress, ensemble=self._so_far())

    def _so_far(self) -> EnsembleSoFar | None:
        return None if self.lineup is None else self.lineup.so_far

    def _drive(self, driver: Driver, executor: Executor, extensions: Extensions | None) -> None:
        is_stopped = False

        def heed() -> None:
            """What the sweep was told from outside."""
            nonlocal is_stopped
            if extensions is None:
                return
            if (budget := extensions.take()) is not None:
                self._extend(budget)
                driver.extend(budget)
                is_stopped = False
            if not is_stopped and self.paths.stop.exists():
                is_stopped = True
                num_trials = sum(trial.is_proposed for trial in self.study.trials())
                driver.extend(self.sweep.budget.model_copy(update={"trials": max(1, num_trials)}))

        def on_report(report: Report) -> None:
            driver.on_report(report)
            heed()

        heed()
        waits = Waits(driver, executor, self.tracker)
        with posted(self.paths.notice, driver.progress().elapsed_s, waits.sentences, self._so_far):
            with suppress(KeyboardInterrupt):
                executor.run(waits.next_segment, on_report, waits.on_segment_end)
            driver.pause()

    def _is_extended(self, extensions: Extensions) -> bool:
        budget = extensions.take()
        if budget is not None:
            self._extend(budget)
        return budget is not None

    def _extend(self, budget: Budget) -> None:
        self.sweep = self.sweep.model_copy(update={"budget": budget})
