"""Long sweeps: what the driver does for a trial does not grow with how many there have been. Calls count, not time."""

import itertools
import sys
from pathlib import Path
from types import FrameType

import pytest

from hpo.execution.simulated import SimulatedExecutor
from hpo.records import Curve, SegmentEnd, TrialSpec
from hpo.scheduling import Asha, Scheduler
from hpo.search.samplers import Random, Sampler, Tpe
from hpo.training.recipe import Recipe
from tests.driving import Bench, make_sweep

NUM_TRIALS, TENTH = 1500, 150
LOOKING_BACK = 3.0
"""For every proposal TPE looks at all trials that it is shown, which are 1999 at most."""


class Calls:
    """Counts calls of Python functions while it is used."""

    def __init__(self) -> None:
        self.num = 0

    def __enter__(self) -> None:
        sys.setprofile(self._see)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, arg: object) -> None:
        self.num += event == "call"


def curve(trial: TrialSpec) -> Curve:
    lr = Recipe.model_validate_json(trial.recipe).optimizer.lr
    return [{"val_accuracy": lr - 0.3 / epoch} for epoch in range(1, 10)]


def calls_per_trial(folder: Path, scheduler: Scheduler, sampler: Sampler) -> list[float]:
    """In every tenth of a sweep, by the trials that begin there."""
    bench, calls = Bench(folder), Calls()
    sweep = make_sweep(num_trials=NUM_TRIALS, scheduler=scheduler).model_copy(update={"sampler": sampler})
    executor = SimulatedExecutor(curve, num_slots=4)  # epochs so short that trials travel in cohorts
    marks = [(0, 0)]
    with bench.open(sweep) as study:
        driver = bench.driver(sweep, study, executor.num_slots)

        def on_segment_end(end: SegmentEnd) -> None:
            driver.on_segment_end(end)
            if len(bench.notes.started) - marks[-1][0] >= TENTH:
                marks.append((len(bench.notes.started), calls.num))

        with calls:
            executor.run(driver.next_segment, driver.on_report, on_segment_end)
    assert len(bench.notes.ends) == NUM_TRIALS
    return [(until[1] - since[1]) / (until[0] - since[0]) for since, until in itertools.pairwise(marks)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "sampler", "most"),
    [(Asha(), Random(), 1.5), (Asha(), Tpe(), LOOKING_BACK), (Asha(form="promotion"), Random(), 1.5)],
    ids=["stopping", "stopping, with TPE", "promotion"],
)
def test_a_late_trial_takes_the_driver_as_many_calls_as_an_early_one(
    scheduler: Scheduler, sampler: Sampler, most: float, tmp_path: Path
) -> None:
    _, early, *_, late = calls_per_trial(tmp_path, scheduler, sampler)

    assert late < most * early
