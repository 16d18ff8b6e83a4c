"""Silence, on a clock of the test's own."""

from hpo.execution.patience import Patience
from hpo.records import Begun, Failure, Report, Segment, TrialSpec


def segment(**left_s: float) -> Segment:
    left = {int(name[1:]): seconds for name, seconds in left_s.items()}
    cohort = tuple(TrialSpec(trial_id=trial_id, recipe="") for trial_id in (1, 2, 3))
    return Segment(segment_id=1, cohort=cohort, from_epoch=0, to_epoch=2, seed=0, left_s=left)


def report(trial_id: int, epoch: int, seconds: float) -> Report:
    return Report(trial_id=trial_id, epoch=epoch, metrics={"seconds": seconds})


def test_whoever_trains_hangs_once_silence_outlasts_what_one_of_them_has_left() -> None:
    patience = Patience(segment(t1=10, t2=5, t3=1), now_s=100)

    patience.hear(Begun(trial_ids=(1, 2)), now_s=103)

    assert patience.hung(now_s=108) == ()
    assert patience.hung(now_s=108.1) == (1, 2)


def test_a_trial_uses_up_its_time_by_its_own_share_of_epochs() -> None:
    patience = Patience(segment(t1=10, t2=10, t3=10), now_s=0)
    patience.hear(Begun(trial_ids=(1, 2)), now_s=0)

    patience.hear(report(1, epoch=1, seconds=4), now_s=8)
    patience.hear(report(2, epoch=1, seconds=4), now_s=8)

    assert patience.hung(now_s=14) == ()
    assert patience.hung(now_s=14.1) == (1, 2)


def test_a_worker_that_has_said_nothing_yet_may_hang_at_anybody() -> None:
    patience = Patience(segment(t1=10, t2=5, t3=20), now_s=0)

    assert patience.hung(now_s=5.1) == (1, 2, 3)


def test_who_is_through_or_has_failed_does_not_hang() -> None:
    patience = Patience(segment(t1=5, t2=5, t3=5), now_s=0)
    patience.hear(Begun(trial_ids=(1, 2)), now_s=0)

    patience.hear(report(1, epoch=2, seconds=1), now_s=1)
    patience.hear(Failure(trial_id=2, error="", traceback=""), now_s=1)

    assert patience.hung(now_s=1000) == ()


def test_without_limits_nobody_hangs() -> None:
    patience = Patience(segment(), now_s=0)

    patience.hear(report(1, epoch=1, seconds=1), now_s=0)

    assert patience.hung(now_s=1e9) == ()
