"""What is told when, by slots that train nothing."""

import math
from collections.abc import Callable

import pytest

from hpo.execution.simulated import SimulatedExecutor
from hpo.records import Curve, Failure, Idle, Report, Segment, SegmentEnd, TrialSpec

Said = tuple[float, int, int | str]


def tell(executor: SimulatedExecutor, segments: list[Segment]) -> list[Said]:
    """All that is said: when, of which trial or segment, and the epoch or `end`; also when a segment is handed out."""
    said: list[Said] = []
    num_running = 0

    def next_segment() -> Segment | Idle:
        nonlocal num_running
        if not segments:
            return Idle.WAIT if num_running else Idle.DONE
        num_running += 1
        said.append((executor.clock(), segments[0].segment_id, "begin"))
        return segments.pop(0)

    def on_segment_end(end: SegmentEnd) -> None:
        nonlocal num_running
        num_running -= 1
        said.append((executor.clock(), end.segment.segment_id, "end"))

    executor.run(
        next_segment, lambda report: said.append((executor.clock(), report.trial_id, report.epoch)), on_segment_end
    )
    return said


def hear(executor: SimulatedExecutor, segment: Segment) -> tuple[list[Report], tuple[Failure, ...]]:
    """The reports and failures of one segment."""
    segments, reports, ends = [segment], list[Report](), list[SegmentEnd]()
    executor.run(lambda: segments.pop() if segments else Idle.DONE, reports.append, ends.append)
    [end] = ends
    return reports, end.failures


def make_segment(segment_id: int, *trial_ids: int, from_epoch: int = 0, to_epoch: int = 2) -> Segment:
    cohort = tuple(TrialSpec(trial_id=trial_id, recipe="") for trial_id in trial_ids)
    return Segment(segment_id=segment_id, cohort=cohort, from_epoch=from_epoch, to_epoch=to_epoch, seed=0)


def lasting(*seconds: float) -> Callable[[TrialSpec], Curve]:
    """Epochs last so long, by trial."""
    return lambda trial: [{"val_loss": 1.0, "seconds": seconds[trial.trial_id]}] * 2


def test_slots_run_side_by_side_and_the_trials_of_a_cohort_one_after_the_other() -> None:
    executor = SimulatedExecutor(lasting(1.0, 0.5, 2.5), num_slots=2)

    said = tell(executor, [make_segment(10, 0, 1), make_segment(20, 2)])

    assert said == [
        (0.0, 10, "begin"),
        (0.0, 20, "begin"),
        (1.0, 0, 1),
        (2.0, 0, 2),
        (2.5, 1, 1),
        (2.5, 2, 1),
        (3.0, 1, 2),
        (3.0, 10, "end"),
        (5.0, 2, 2),
        (5.0, 20, "end"),
    ]


def test_a_moment_is_told_slot_by_slot_before_free_slots_are_filled() -> None:
    executor = SimulatedExecutor(lambda trial: [{}], num_slots=2, epoch_s=60.0)

    said = tell(executor, [make_segment(10 * k, k, to_epoch=1) for k in range(1, 4)])

    assert said == [
        (0.0, 10, "begin"),
        (0.0, 20, "begin"),
        (60.0, 1, 1),
        (60.0, 10, "end"),
        (60.0, 2, 1),
        (60.0, 20, "end"),
        (60.0, 30, "begin"),
        (120.0, 3, 1),
        (120.0, 30, "end"),
    ]


def test_a_survivor_goes_on_where_it_stood_with_a_checkpoint_that_is_a_name() -> None:
    executor = SimulatedExecutor(lambda trial: [{"val_loss": loss} for loss in (3.0, 2.0, 1.0)], num_slots=1)

    reports, _ = hear(executor, make_segment(1, 7, from_epoch=1, to_epoch=3))

    assert [(report.epoch, report.metrics) for report in reports] == [
        (2, {"val_loss": 2.0, "seconds": 1.0}),
        (3, {"val_loss": 1.0, "seconds": 1.0}),
    ]
    assert [report.checkpoint for report in reports] == [None, "simulated: trial 7 at epoch 3"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_a_trial_that_has_diverged(value: float) -> None:
    executor = SimulatedExecutor(lambda trial: [{"val_loss": loss} for loss in (3.0, value, 1.0)], num_slots=1)

    reports, failures = hear(executor, make_segment(1, 0, to_epoch=3))

    assert [(report.epoch, report.first_bad_step, report.checkpoint) for report in reports] == [
        (1, None, None),
        (2, 1, None),
    ]
    assert reports[1].metrics == {"seconds": 1.0}
    assert failures == ()


def test_a_curve_that_is_too_short_is_a_failure() -> None:
    _, [failure] = hear(SimulatedExecutor(lambda trial: [{}], num_slots=1), make_segment(1, 4))

    assert failure.trial_id == 4
    assert failure.error == (
        "ValueError: a curve must be as long as its trial trains, but has 1 epochs of 2. Train for fewer epochs."
    )
    assert "Traceback" in failure.traceback


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_seconds_that_are_no_time_are_a_failure(seconds: float) -> None:
    _, [failure] = hear(SimulatedExecutor(lasting(seconds), num_slots=1), make_segment(1, 0))

    assert failure.error == f"ValueError: epoch 1: `seconds` must be finite and at least 0, but is {seconds}."


def test_the_clock_goes_on_from_one_run_to_the_next() -> None:
    executor = SimulatedExecutor(lasting(1.0), num_slots=1)
    tell(executor, [make_segment(10, 0)])

    said = tell(executor, [make_segment(20, 0)])

    assert said[0] == (2.0, 20, "begin")
    assert executor.clock() == 4.0
