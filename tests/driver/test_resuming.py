"""A driver that dies, and its successor: nothing lost, nothing twice, and the same sweep in the end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage

from hpo.records import Report, Segment, TrialRecord
from hpo.scheduling import Asha, Budget, FreezeThaw, Hyperband, Median, NoScheduler, Pbt, Scheduler
from hpo.search.rows import Rows
from hpo.search.samplers import Curves, Qmc, Random, Sampler, Tpe
from hpo.sweep import Sweep
from tests.driving import Bench, Message, Workers, make_sweep, reports

WRITES = ((RDBStorage, "set_study_user_attr"), (Rows, "begin"), (Rows, "write"))
"""What a study is made and written by: each is a transaction."""
PAIRS: dict[str, tuple[Scheduler, Sampler]] = {
    "none": (NoScheduler(), Random()),
    "stopping": (Asha(controls=0.3), Tpe()),
    "promotion": (Asha(form="promotion", controls=0.3), Qmc()),
    "hyperband": (Hyperband(), Random()),
    "median": (Median(min_epochs=1), Random()),
    "freeze_thaw": (FreezeThaw(), Curves()),
    "pbt": (Pbt(population=8, every=2, quantile=0.25), Random()),
}


class DeadError(BaseException):
    """The driver's process is no more."""


class Mortality:
    """Lets a driver die at its n-th write, before or after the database has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num_left: int | None = None
        self.num_writes = 0
        self.is_late = False
        for writer, name in WRITES:
            monkeypatch.setattr(writer, name, self._mortal(getattr(writer, name)))

    def _mortal(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.num_writes += 1
            if self.num_left is None:
                return write(*args, **kwargs)
            self.num_left -= 1
            if self.num_left == 0 and not self.is_late:
                raise DeadError
            done = write(*args, **kwargs)
            if self.num_left == 0:
                raise DeadError
            return done

        return mortal


@pytest.fixture
def mortality(monkeypatch: pytest.MonkeyPatch) -> Mortality:
    return Mortality(monkeypatch)


def sweep_of(pair: str) -> Sweep:
    scheduler, sampler = PAIRS[pair]
    budgets = {"freeze_thaw": Budget(epochs=60, trials=12), "pbt": Budget()}
    budget = budgets.get(pair, Budget(trials=12))
    return make_sweep(scheduler=scheduler, budget=budget).model_copy(update={"sampler": sampler})


def learning(segment: Segment) -> Iterator[Message]:
    """Curves that cross; one trial diverges and one stops early. Reports come epoch by epoch, as from lanes."""
    told: list[list[Report]] = []
    for trial in segment.cohort:
        slow = 1 + trial.trial_id % 3
        curve = []
        for plain in reports(segment, trial):
            value = plain.metrics["val_accuracy"] * (1 - 0.5 ** (plain.epoch / slow))
            report = replace(plain, metrics={**plain.metrics, "val_accuracy": value})
            if trial.trial_id == 5 and report.epoch == 2:
                curve.append(replace(report, metrics={"seconds": 1.0}, first_bad_step=9, checkpoint=None))
                break
            if trial.trial_id == 7 and report.epoch == 4:
                curve.append(replace(report, best_epoch=3, checkpoint=f"trial {trial.trial_id} epoch 3"))
                break
            curve.append(report)
        told.append(curve)
    for epoch in range(segment.to_epoch - segment.from_epoch):
        yield from (curve[epoch] for curve in told if epoch < len(curve))


def undisturbed(folder: Path, sweep: Sweep) -> tuple[list[TrialRecord], list[Report]]:
    bench = Bench(folder)
    return bench.drive(sweep, Workers(learning)), bench.notes.reports


def points(told: Sequence[Report]) -> dict[tuple[int, int], Report]:
    """Whoever is told twice is told the same."""
    by_epoch = {(report.trial_id, report.epoch): report for report in told}
    assert all(by_epoch[report.trial_id, report.epoch] == report for report in told)
    return by_epoch


@pytest.mark.parametrize("is_late", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("pair", PAIRS)
def test_a_driver_that_dies_at_any_write_changes_nothing(
    pair: str, is_late: bool, tmp_path: Path, mortality: Mortality
) -> None:
    sweep = sweep_of(pair)
    mortality.is_late = is_late
    expected, told = undisturbed(tmp_path / "undisturbed", sweep)
    num_writes = mortality.num_writes
    step = max(1, num_writes // 12)

    for death in range(2, num_writes, step):
        first, second = (Bench(tmp_path / f"died at {death}") for _ in range(2))
        mortality.num_left = death
        with pytest.raises(DeadError):
            first.drive(sweep, Workers(learning))
        mortality.num_left = None

        assert second.drive(sweep, Workers(learning)) == expected, f"death at write {death} of {num_writes}"
        assert points([*first.notes.reports, *second.notes.reports]) == points(told)
        assert {**first.notes.ends, **second.notes.ends} == {trial.trial_id: trial.end for trial in expected}
