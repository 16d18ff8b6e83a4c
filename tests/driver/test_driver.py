"""The driver, against workers that do what a test tells them: no torch, no Ray, a real study."""

import errno
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import TrialsFailedError
from hpo.records import (
    Decision,
    End,
    EndKind,
    Failure,
    Idle,
    Outcome,
    Report,
    Segment,
    SegmentEnd,
    TrialRecord,
)
from hpo.scheduling import Asha, Budget, Hyperband, NoScheduler
from hpo.scheduling.controls import is_control
from hpo.sweep import Retries
from tests.driving import LR, NINE, Behave, Bench, Message, WorkerLostError, Workers, make_sweep, reports, well


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def failing(error: str, who: Callable[[int], bool] = lambda trial_id: True) -> Behave:
    def behave(segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            if who(trial.trial_id):
                yield Failure(trial_id=trial.trial_id, error=error, traceback=f"Traceback of {error}")
            else:
                yield from reports(segment, trial)

    return behave


def diverging(*trial_ids: int, at: int) -> Behave:
    def behave(segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            for report in reports(segment, trial):
                if trial.trial_id in trial_ids and report.epoch == at:
                    yield Report(trial_id=trial.trial_id, epoch=at, metrics={"seconds": 1.0}, first_bad_step=77)
                    break
                yield report

    return behave


def losing(*trial_ids: int) -> Behave:
    def behave(segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            if trial.trial_id in trial_ids:
                raise WorkerLostError("the worker process died")
            yield from reports(segment, trial)

    return behave


def kinds(trials: list[TrialRecord]) -> Counter[EndKind | None]:
    return Counter(trial.end.kind if trial.end else None for trial in trials)


def end_of(trials: list[TrialRecord], trial_id: int) -> End:
    end = trials[trial_id].end
    assert end is not None
    return end


def test_every_trial_ends_and_the_best_is_complete(bench: Bench) -> None:
    trials = bench.drive(make_sweep(), Workers(well))

    best = max(trials, key=lambda trial: float(trial.params[LR]))  # type: ignore[arg-type]
    assert kinds(trials) == {EndKind.STOPPED: 8, EndKind.COMPLETE: 1}
    assert end_of(trials, best.trial_id).kind is EndKind.COMPLETE
    assert end_of(trials, best.trial_id).value == best.params[LR]
    assert bench.notes.ends == {trial.trial_id: trial.end for trial in trials}


def test_a_stopped_trial_says_its_rung_rank_and_what_it_took_to_go_on(bench: Bench) -> None:
    trials = bench.drive(make_sweep(points=NINE), Workers(well))

    assert end_of(trials, 4).reason == {"rung": 1, "cutoff": 0.7, "rank": 5, "num_seen": 9}
    assert (end_of(trials, 4).epoch, end_of(trials, 4).value) == (1, 0.5)
    assert end_of(trials, 1).reason == {"rung": 3, "cutoff": 0.9, "rank": 2, "num_seen": 3}


def test_every_decision_is_kept_with_its_trial(bench: Bench) -> None:
    trials = bench.drive(make_sweep(points=NINE), Workers(well))

    first = Decision(rung=1, value=0.9, cutoff=0.7, rank=1, num_seen=9, outcome=Outcome.CONTINUES)
    assert trials[0].decisions == (first, replace(first, rung=3, cutoff=0.9, num_seen=3, number=9))
    assert trials[4].decisions == (replace(first, value=0.5, rank=5, outcome=Outcome.STOPS, number=4),)


def test_a_control_trains_to_the_end_and_says_what_it_was_spared(bench: Bench) -> None:
    seed = next(seed for seed in itertools.count() if [k for k in range(9) if is_control(seed, k, 0.05)] == [4])

    trials = bench.drive(make_sweep(points=NINE, scheduler=Asha(), seed=seed), Workers(well))

    reason = {"spared": 1, "cutoff": 0.7, "rank": 5, "num_seen": 9}
    assert end_of(trials, 4) == End(
        kind=EndKind.COMPLETE, epoch=9, value=0.5, metrics={"val_accuracy": 0.5, "seconds": 1.0}, reason=reason
    )
    first = Decision(
        rung=1, value=0.5, cutoff=0.7, rank=5, num_seen=9, outcome=Outcome.SPARED, is_control=True, number=4
    )
    assert trials[4].decisions == (first, replace(first, rung=3, cutoff=0.9, rank=4, num_seen=4, number=12))
    assert end_of(trials, 1).reason == {"rung": 3, "cutoff": 0.9, "rank": 2, "num_seen": 4}
    assert kinds(trials) == {EndKind.COMPLETE: 2, EndKind.STOPPED: 7}


def test_where_all_are_controls_each_counts_at_every_rung_and_survivors_are_who_they_are(bench: Bench) -> None:
    trials = bench.drive(make_sweep(points=NINE, scheduler=Asha(controls=1.0)), Workers(well))

    assert kinds(trials) == {EndKind.COMPLETE: 9}
    assert [[decision.outcome.value for decision in trial.decisions] for trial in trials] == [
        *[["continues", "continues"]] * 3,
        *[["spared", "spared"]] * 6,
    ]
    assert {decision.num_seen for trial in trials for decision in trial.decisions} == {9}
    assert [end_of(trials, trial_id).reason.get("spared") for trial_id in (2, 3)] == [None, 1]


def test_a_control_whose_value_is_not_finite_is_stopped(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            yield from reports(segment, trial, math.nan if trial.trial_id == 0 else None)

    trials = bench.drive(make_sweep(num_trials=2, scheduler=Asha(controls=1.0)), Workers(behave))

    assert [(end_of(trials, k).kind, end_of(trials, k).epoch) for k in (0, 1)] == [
        (EndKind.STOPPED, 1),
        (EndKind.COMPLETE, 9),
    ]


def test_averaged_weights_decide_at_rungs_where_that_is_asked_for_and_the_metric_at_the_end(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            for report in reports(segment, trial):
                metrics = {**report.metrics, "ema_val_accuracy": 1 - report.metrics["val_accuracy"]}
                yield replace(report, metrics=metrics)

    points = tuple({LR: value} for value in (0.75, 0.5, 0.25))
    sweep = make_sweep(num_trials=3, scheduler=Asha(compare="averaged", controls=0.0), points=points, ema_half_life=0.5)

    trials = bench.drive(sweep, Workers(behave))

    assert [end_of(trials, trial_id).kind.value for trial_id in range(3)] == ["stopped", "stopped", "complete"]
    assert [trial.decisions[0].value for trial in trials] == [0.25, 0.5, 0.75]
    assert [end_of(trials, trial_id).value for trial_id in range(3)] == [0.75, 0.5, 0.25]
    assert end_of(trials, 0).reason["cutoff"] == 0.75


def test_points_are_tried_first(bench: Bench) -> None:
    bench.drive(make_sweep(points=({LR: 0.25}, {LR: 0.5})), Workers(well))

    assert [bench.notes.started[trial_id][LR] for trial_id in (0, 1)] == [0.25, 0.5]


def test_a_diverged_trial_ends_at_once_while_its_cohort_goes_on(bench: Bench) -> None:
    sweep = make_sweep(num_trials=2, scheduler=NoScheduler())
    ended: list[bool] = []

    def behave(segment: Segment) -> Iterator[Message]:
        for message in diverging(0, at=4)(segment):
            yield message
            ended.append(0 in bench.notes.ends)

    trials = bench.drive(sweep, Workers(behave))

    assert (end_of(trials, 0).kind, end_of(trials, 0).epoch) == (EndKind.DIVERGED, 4)
    assert end_of(trials, 0).reason == {"first_bad_step": 77}
    assert ended.index(True) == 3
    assert end_of(trials, 1).kind is EndKind.COMPLETE


def test_a_trial_that_diverged_after_good_epochs_is_never_the_best(bench: Bench) -> None:
    bench.drive(make_sweep(num_trials=1, scheduler=NoScheduler()), Workers(diverging(0, at=2)))

    assert bench.progress[-1].best is None
    assert bench.progress[-1].ends == {EndKind.DIVERGED: 1}


def stopping_early(trial_id: int, *, at: int, best: int, value: float) -> Behave:
    def behave(segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            for report in reports(segment, trial):
                if trial.trial_id == trial_id and report.epoch == at:
                    metrics = {**report.metrics, "val_accuracy": value}
                    yield replace(report, metrics=metrics, checkpoint=f"epoch {best}", best_epoch=best)
                    break
                yield report

    return behave


def test_a_trial_that_stops_early_is_complete_at_once_with_its_best_while_its_cohort_goes_on(bench: Bench) -> None:
    sweep = make_sweep(num_trials=2, scheduler=NoScheduler())
    workers = Workers(stopping_early(0, at=4, best=2, value=0.95))

    trials = bench.drive(sweep, workers)

    assert end_of(trials, 0) == End(
        kind=EndKind.COMPLETE,
        epoch=4,
        value=0.95,
        metrics={"val_accuracy": 0.95, "seconds": 1.0},
        reason={"early_stopped": 4, "best_epoch": 2},
    )
    assert trials[0].checkpoint == "epoch 2"
    assert (end_of(trials, 1).kind, end_of(trials, 1).epoch) == (EndKind.COMPLETE, 9)
    assert bench.progress[-1].best == trials[0]
    assert bench.progress[-1].remaining_s == 0
    assert len(workers.segments) == 1


def test_a_trial_that_goes_back_at_its_last_epoch_says_to_which(bench: Bench) -> None:
    workers = Workers(stopping_early(0, at=9, best=7, value=0.95))

    trials = bench.drive(make_sweep(num_trials=1, scheduler=NoScheduler()), workers)

    assert (end_of(trials, 0).epoch, end_of(trials, 0).value) == (9, 0.95)
    assert end_of(trials, 0).reason == {"best_epoch": 7}


def test_a_trial_that_stops_earlier_when_its_segment_runs_again_has_ended(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        if segment.attempt > 0:
            yield from stopping_early(0, at=4, best=2, value=0.95)(segment)
            return
        yield from itertools.islice(reports(segment, segment.cohort[0]), 6)
        raise WorkerLostError("gone")

    trials = bench.drive(make_sweep(num_trials=1, scheduler=NoScheduler()), Workers(behave))

    assert end_of(trials, 0).reason == {"early_stopped": 4, "best_epoch": 2}


def test_a_failure_of_a_trial_that_has_ended_is_of_no_account(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        yield from stopping_early(0, at=4, best=2, value=0.95)(segment)
        yield Failure(trial_id=0, error="OSError: no space left", traceback="")

    trials = bench.drive(make_sweep(num_trials=1, scheduler=NoScheduler()), Workers(behave))

    assert kinds(trials) == {EndKind.COMPLETE: 1}


def test_a_trial_that_raises_is_tried_again_and_may_succeed(bench: Bench) -> None:
    workers = Workers(lambda segment: (failing("flaky") if segment.attempt == 0 else well)(segment))

    trials = bench.drive(make_sweep(num_trials=2, scheduler=NoScheduler()), workers)

    assert kinds(trials) == {EndKind.COMPLETE: 2}
    assert [(len(segment.cohort), segment.attempt) for segment in workers.segments] == [(2, 0), (1, 1), (1, 1)]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_trial_that_raises_beyond_its_retries_has_failed_with_the_traceback(bench: Bench, retries: int) -> None:
    workers = Workers(failing("ValueError: no", who=lambda trial_id: trial_id == 1))

    trials = bench.drive(make_sweep(num_trials=3, scheduler=NoScheduler(), retries=Retries(error=retries)), workers)

    assert kinds(trials) == {EndKind.COMPLETE: 2, EndKind.FAILED: 1}
    assert end_of(trials, 1).reason == {"error": "ValueError: no", "traceback": "Traceback of ValueError: no"}
    assert sum(trial.trial_id == 1 for segment in workers.segments for trial in segment.cohort) == 1 + retries


def test_three_trials_in_a_row_that_fail_alike_end_the_sweep_with_one_traceback(bench: Bench) -> None:
    with pytest.raises(TrialsFailedError) as caught:
        bench.drive(make_sweep(num_trials=20), Workers(failing("KeyError: 'x'")))

    assert str(caught.value) == "3 trials in a row failed with the same error:\nTraceback of KeyError: 'x'"
    assert Counter(end.kind for end in bench.notes.ends.values()) == {EndKind.FAILED: 3, EndKind.STOPPED: 13}
    assert bench.notes.ends.keys() == bench.notes.started.keys()
    with bench.open(make_sweep(num_trials=20)) as study:
        assert None not in kinds(study.trials())


def test_failures_that_differ_do_not_end_the_sweep(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            yield Failure(trial_id=trial.trial_id, error=f"KeyError: {trial.trial_id % 2}", traceback="")

    trials = bench.drive(make_sweep(num_trials=6, scheduler=NoScheduler(), retries=Retries(error=0)), Workers(behave))

    assert kinds(trials) == {EndKind.FAILED: 6}


def test_a_lost_cohort_is_halved_until_the_trial_that_kills_its_worker_is_alone(bench: Bench) -> None:
    workers = Workers(losing(2))

    trials = bench.drive(make_sweep(num_trials=8, scheduler=NoScheduler()), workers)

    cohorts = [[trial.trial_id for trial in segment.cohort] for segment in workers.segments]
    assert cohorts[:3] == [[0, 1, 2, 3, 4, 5, 6, 7], [2, 3, 4], [5, 6, 7]]
    assert cohorts.count([2]) == 6
    assert end_of(trials, 2).kind is EndKind.FAILED
    assert (
        end_of(trials, 2).reason["error"]
        == "lost its worker 6 times in a row, with nothing new reported: the worker process died"
    )
    assert kinds(trials) == {EndKind.COMPLETE: 7, EndKind.FAILED: 1}


def test_three_trials_in_a_row_that_kill_their_worker_end_the_sweep(bench: Bench) -> None:
    with pytest.raises(TrialsFailedError, match="lost its worker 6 times in a row, with nothing new reported"):
        bench.drive(make_sweep(num_trials=8, scheduler=NoScheduler()), Workers(losing(*range(8))))


def test_what_a_segment_reports_when_it_runs_again_counts_once(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        [trial] = segment.cohort
        for report in reports(segment, trial):
            yield report
            if segment.attempt == 0 and report.epoch == 5:
                raise WorkerLostError("gone")

    trials = bench.drive(make_sweep(num_trials=1, scheduler=NoScheduler()), Workers(behave))

    assert [report.epoch for report in bench.notes.reports] == list(range(1, 10))
    assert bench.progress[-1].num_epochs == 9
    assert kinds(trials) == {EndKind.COMPLETE: 1}


def test_survivors_travel_together_with_their_checkpoints(bench: Bench) -> None:
    workers = Workers(well)

    bench.drive(make_sweep(num_trials=27, points=tuple({LR: 0.1 + 0.01 * k} for k in range(27))), workers)

    assert [(len(segment.cohort), segment.from_epoch, segment.to_epoch) for segment in workers.segments] == [
        (16, 0, 1),
        (11, 0, 1),
        (14, 1, 3),
        (4, 3, 9),
    ]
    third = workers.segments[2]
    assert third.checkpoints == {trial.trial_id: f"trial {trial.trial_id} epoch 1" for trial in third.cohort}


def test_a_cohort_holds_trials_that_train_to_the_same_rung(bench: Bench) -> None:
    workers = Workers(well)
    points = tuple({LR: 0.1 + 0.01 * trial_id} for trial_id in range(16))

    trials = bench.drive(make_sweep(num_trials=16, scheduler=Hyperband(controls=0.0), points=points), workers)

    # The best two of 8 in the first bracket, the best of 5 in the second; the third stops nobody.
    assert [
        (segment.from_epoch, segment.to_epoch, [trial.trial_id for trial in segment.cohort])
        for segment in workers.segments
    ] == [
        (0, 1, [0, 2, 4, 6, 7, 10, 12, 13]),
        (0, 3, [1, 5, 8, 11, 15]),
        (0, 9, [3, 9, 14]),
        (3, 9, [15]),
        (1, 3, [12, 13]),
        (3, 9, [13]),
    ]
    assert kinds(trials) == {EndKind.COMPLETE: 5, EndKind.STOPPED: 11}
    assert end_of(trials, 12).reason == {"rung": 3, "cutoff": 0.23, "rank": 2, "num_seen": 2}


def test_trials_that_have_not_begun_end_with_their_sweep(bench: Bench) -> None:
    sweep = make_sweep(scheduler=Hyperband(controls=0.0), budget=Budget(trials=16, epochs=8))

    trials = bench.drive(sweep, Workers(well))

    assert Counter(end_of(trials, trial.trial_id).epoch for trial in trials) == {1: 8, 0: 8}
    assert end_of(trials, 1) == End(kind=EndKind.STOPPED, epoch=0, reason={"sweep_ended": "budget.epochs: 8 reached"})


def test_a_trial_keeps_its_last_checkpoint_only(bench: Bench, tmp_path: Path) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        for message in well(segment):
            assert isinstance(message, Report)
            path = tmp_path / f"trial-{message.trial_id}-epoch-{message.epoch}"
            if message.checkpoint:
                path.touch()
            yield Report(
                trial_id=message.trial_id,
                epoch=message.epoch,
                metrics=message.metrics,
                checkpoint=str(path) if message.checkpoint else None,
            )

    trials = bench.drive(make_sweep(), Workers(behave))

    kept = {path.name for path in tmp_path.glob("trial-*")}
    assert kept == {f"trial-{trial.trial_id}-epoch-{end_of(trials, trial.trial_id).epoch}" for trial in trials}
    assert all(trial.checkpoint and Path(trial.checkpoint).name in kept for trial in trials)


def test_a_budget_of_trials_asks_for_no_more(bench: Bench) -> None:
    trials = bench.drive(make_sweep(num_trials=19), Workers(well))

    assert len(trials) == 19


def test_a_budget_of_epochs_lets_running_trials_reach_their_rung_and_ends_the_rest(bench: Bench) -> None:
    trials = bench.drive(make_sweep(budget=Budget(trials=20, epochs=10)), Workers(well))

    assert sum(end_of(trials, trial.trial_id).epoch for trial in trials) == 16
    waited = [end for end in bench.notes.ends.values() if "sweep_ended" in end.reason]
    assert len(waited) == 5
    assert {(end.kind, end.epoch) for end in waited} == {(EndKind.STOPPED, 1)}
    assert {end.reason["sweep_ended"] for end in waited} == {"budget.epochs: 10 reached"}
    assert all(end.value is not None for end in waited)


def test_a_budget_of_minutes_follows_the_clock(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        bench.now_s += 90
        yield from well(segment)

    workers = Workers(behave)
    trials = bench.drive(make_sweep(budget=Budget(trials=64, minutes=2)), workers)

    assert len(workers.segments) == 2
    assert None not in kinds(trials)
    assert any(end.reason.get("sweep_ended") == "budget.minutes: 2 reached" for end in bench.notes.ends.values())


def test_a_target_ends_the_sweep_once_a_complete_trial_has_it(bench: Bench) -> None:
    sweep = make_sweep(scheduler=NoScheduler(), budget=Budget(trials=64, target=0.9), points=({LR: 0.9},))

    trials = bench.drive(sweep, Workers(well))

    assert kinds(trials) == {EndKind.COMPLETE: 16}


def test_an_ended_sweep_ends_a_trial_at_its_last_state_on_disk(bench: Bench) -> None:
    sweep = make_sweep(num_trials=1)
    with bench.open(sweep) as study:
        driver = bench.driver(sweep, study, num_slots=1)
        first = driver.next_segment()
        assert isinstance(first, Segment)
        for report in reports(first, first.cohort[0], 0.25):
            driver.on_report(report)
        driver.on_segment_end(SegmentEnd(segment=first))
        second = driver.next_segment()
        assert isinstance(second, Segment)
        driver.on_report(next(reports(second, second.cohort[0], 0.75)))
        assert not driver.is_done

        driver.end_waiting("interrupted")

        [trial] = study.trials()
    assert trial.checkpoint == "trial 0 epoch 1"
    assert trial.end == bench.notes.ends[0]
    assert (trial.end.epoch, trial.end.value, trial.end.reason) == (1, 0.25, {"sweep_ended": "interrupted"})


def test_two_slots_share_new_trials_and_wait_for_each_other_at_the_end(bench: Bench) -> None:
    sweep = make_sweep(num_trials=2)
    with bench.open(sweep) as study:
        driver = bench.driver(sweep, study, num_slots=2)

        handed_out = [driver.next_segment() for _ in range(3)]

    assert [segment.cohort[0].trial_id for segment in handed_out if isinstance(segment, Segment)] == [0, 1]
    assert handed_out[2] is Idle.WAIT


def test_a_cohort_is_as_large_as_suits_the_kind_of_slot_that_asks(bench: Bench) -> None:
    sweep = make_sweep(num_trials=64, scheduler=NoScheduler())
    with bench.open(sweep) as study:
        driver = bench.driver(sweep, study, num_slots=2)
        firsts = [driver.next_segment(kind) for kind in (0, 1)]
        for first, seconds in zip(firsts, (0.01, 0.1), strict=True):  # of each of 9 epochs
            assert isinstance(first, Segment)
            for report in reports(first, first.cohort[0], 0.5):
                driver.on_report(replace(report, metrics={**report.metrics, "seconds": seconds}))
            driver.on_segment_end(SegmentEnd(segment=first))

        then = [driver.next_segment(kind) for kind in (0, 1)]

    sizes = [len(segment.cohort) for segment in [*firsts, *then] if isinstance(segment, Segment)]
    assert sizes == [1, 1, 16, 2]  # 2 s are 22 trials of 0.09 s, of which 16 are allowed, and 2 of 0.9 s


def test_one_slot_repeats_exactly(tmp_path: Path) -> None:
    sweep = make_sweep(num_trials=40)
    runs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        runs.append(Bench(tmp_path / name).drive(sweep, Workers(well)))

    assert runs[0] == runs[1]


def test_whoever_watches_is_told_at_most_four_times_a_second(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        for message in well(segment):
            bench.now_s += 0.1
            yield message

    bench.drive(make_sweep(num_trials=2, scheduler=NoScheduler()), Workers(behave))

    told = [progress.elapsed_s for progress in bench.progress[:-1]]
    assert told == pytest.approx([0.3, 0.6, 0.9, 1.2, 1.5, 1.8])
    assert bench.progress[-1].rungs == {9: 2}


def test_a_full_disk_is_nobodys_fault_and_ends_the_run(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        *others, last = segment.cohort
        for trial in others:
            yield from reports(segment, trial)
        yield Failure(trial_id=last.trial_id, error="OSError: no space", traceback="...", is_disk_full=True)

    with pytest.raises(OSError, match="no space") as caught:
        bench.drive(make_sweep(retries=Retries(error=0)), Workers(behave))
    trials = bench.drive(make_sweep(), Workers(well))

    assert caught.value.errno == errno.ENOSPC
    assert kinds(trials) == {EndKind.STOPPED: 8, EndKind.COMPLETE: 1}
