"""Time limits and lost workers, as the driver takes them: every epoch lasts a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.records import EndKind, Report, Segment, TrialRecord
from hpo.scheduling import NoScheduler
from hpo.sweep import Retries
from tests.driving import NINE, Bench, Message, WorkerLostError, Workers, make_sweep, reports, well


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ends(trials: list[TrialRecord]) -> dict[int, tuple[EndKind, int]]:
    return {trial.trial_id: (trial.end.kind, trial.end.epoch) for trial in trials if trial.end}


def cohorts(workers: Workers) -> list[list[int]]:
    return [[trial.trial_id for trial in segment.cohort] for segment in workers.segments]


def hanging(*trial_ids: int, lanes: int = 1) -> Workers:
    """Cohorts train `lanes` at a time, and some trials hang at once."""

    def behave(segment: Segment) -> Iterator[Message]:
        for first in range(0, len(segment.cohort), lanes):
            chunk = segment.cohort[first : first + lanes]
            if any(trial.trial_id in trial_ids for trial in chunk):
                raise WorkerLostError("the worker process died", *(trial.trial_id for trial in chunk))
            for trial in chunk:
                yield from reports(segment, trial)

    return Workers(behave)


def test_a_slow_trial_ends_at_the_first_report_over_its_limit(bench: Bench) -> None:
    sweep = make_sweep(num_trials=1, scheduler=NoScheduler(), retries=Retries(trial_timeout=3.5))

    [trial] = bench.drive(sweep, Workers(well))

    assert trial.end is not None
    assert (trial.end.kind, trial.end.epoch, trial.end.value) == (EndKind.TIMED_OUT, 4, None)
    assert trial.end.reason == {"limit_s": 3.5}
    assert trial.end.metrics["total_seconds"] == 4
    assert bench.notes.ends[0] == trial.end


def test_a_trial_may_train_as_long_as_its_limit(bench: Bench) -> None:
    sweep = make_sweep(num_trials=1, scheduler=NoScheduler(), retries=Retries(trial_timeout=9))

    [trial] = bench.drive(sweep, Workers(well))

    assert ends([trial]) == {0: (EndKind.COMPLETE, 9)}


def test_the_limit_of_a_trial_is_for_all_its_segments_and_each_is_told_what_is_left(bench: Bench) -> None:
    workers = Workers(well)
    retries = Retries(trial_timeout=5.5, segment_timeout=5)

    trials = bench.drive(make_sweep(points=NINE, retries=retries), workers)

    assert [segment.left_s[0] for segment in workers.segments if 0 in segment.left_s] == [5, 4.5, 2.5]
    assert ends(trials)[0] == (EndKind.TIMED_OUT, 6)


def test_the_limit_of_a_segment_begins_anew_with_each(bench: Bench) -> None:
    trials = bench.drive(make_sweep(points=NINE, retries=Retries(segment_timeout=2.5)), Workers(well))

    assert ends(trials)[0] == (EndKind.TIMED_OUT, 6)
    assert trials[0].end is not None
    assert trials[0].end.reason == {"limit_s": 2.5}


def test_what_a_trial_has_trained_outlives_its_driver(bench: Bench) -> None:
    def dying(segment: Segment) -> Iterator[Message]:
        if segment.from_epoch == 3:
            raise KeyboardInterrupt
        yield from well(segment)

    sweep = make_sweep(points=NINE, retries=Retries(trial_timeout=5.5))
    with pytest.raises(KeyboardInterrupt):
        bench.drive(sweep, Workers(dying))

    trials = bench.drive(sweep, Workers(well))

    assert ends(trials)[0] == (EndKind.TIMED_OUT, 6)


def test_time_that_was_lost_with_a_worker_is_not_the_trials(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        for message in well(segment):
            yield message
            if segment.attempt == 0 and isinstance(message, Report) and message.epoch == 5:
                raise WorkerLostError("gone")

    sweep = make_sweep(num_trials=1, scheduler=NoScheduler(), retries=Retries(trial_timeout=9))

    trials = bench.drive(sweep, Workers(behave))

    assert ends(trials) == {0: (EndKind.COMPLETE, 9)}


def test_a_trial_that_hangs_is_timed_out_and_the_others_of_its_cohort_go_on_together(bench: Bench) -> None:
    workers = hanging(2)
    sweep = make_sweep(num_trials=8, scheduler=NoScheduler(), retries=Retries(trial_timeout=60, worker_lost=0))

    trials = bench.drive(sweep, workers)

    assert cohorts(workers)[:2] == [[0, 1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7]]
    assert ends(trials) == dict.fromkeys(range(8), (EndKind.COMPLETE, 9)) | {2: (EndKind.TIMED_OUT, 0)}
    assert bench.notes.ends[2].reason == {"limit_s": 60}


def test_lanes_that_hang_train_one_by_one_and_the_others_together(bench: Bench) -> None:
    workers = hanging(5, lanes=4)
    sweep = make_sweep(num_trials=12, scheduler=NoScheduler(), retries=Retries(trial_timeout=60, worker_lost=0))

    trials = bench.drive(sweep, workers)

    assert cohorts(workers)[:6] == [list(range(12)), [8, 9, 10, 11], [4], [5], [6], [7]]
    assert ends(trials) == dict.fromkeys(range(12), (EndKind.COMPLETE, 9)) | {5: (EndKind.TIMED_OUT, 0)}


def test_without_limits_segments_and_reports_are_as_they_always_were(bench: Bench) -> None:
    workers = Workers(well)

    bench.drive(make_sweep(), workers)

    assert all(segment.left_s == {} for segment in workers.segments)
    assert {name for report in bench.notes.reports for name in report.metrics} == {"val_accuracy", "seconds"}


@pytest.mark.parametrize(
    ("retries", "num_losses", "kind"),
    [
        (Retries(), 5, EndKind.COMPLETE),
        (Retries(), 6, EndKind.FAILED),
        (Retries(worker_lost=0), 1, EndKind.FAILED),
        (Retries(worker_lost="unlimited"), 30, EndKind.COMPLETE),
    ],
)
def test_a_trial_alone_may_lose_its_worker_so_often(
    bench: Bench, retries: Retries, num_losses: int, kind: EndKind
) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        if segment.attempt < num_losses:
            raise WorkerLostError("gone")
        yield from well(segment)

    [trial] = bench.drive(make_sweep(num_trials=1, scheduler=NoScheduler(), retries=retries), Workers(behave))

    assert trial.end is not None
    assert trial.end.kind is kind


def test_whatever_is_new_lets_losses_count_from_the_start(bench: Bench) -> None:
    def behave(segment: Segment) -> Iterator[Message]:
        for message in well(segment):
            yield message
            if isinstance(message, Report) and message.epoch == 1 + segment.attempt // 2:
                raise WorkerLostError("gone")

    sweep = make_sweep(num_trials=1, scheduler=NoScheduler(), retries=Retries(worker_lost=2))
    workers = Workers(behave)

    [trial] = bench.drive(sweep, workers)

    assert ends([trial]) == {0: (EndKind.COMPLETE, 9)}
    assert len(workers.segments) == 17
