import pytest

from hpo.scheduling.packing import Standing, cohort_size, full_cohort, most_in_cohort, remaining_cohort

MOST = 16


def standing(epoch: int, *trial_ids: int, signature: str = "") -> list[Standing]:
    return [Standing(trial_id=trial_id, epoch=epoch, signature=signature) for trial_id in trial_ids]


def test_cohort_size_aims_at_segments_of_equal_time() -> None:
    assert cohort_size(num_epochs=2, seconds_per_epoch=0.25, num_slots=4, most=MOST) == 4
    assert cohort_size(num_epochs=6, seconds_per_epoch=0.25, num_slots=4, most=MOST) == 1
    assert cohort_size(num_epochs=1, seconds_per_epoch=60, num_slots=4, most=MOST) == 1
    assert cohort_size(num_epochs=1, seconds_per_epoch=0.001, num_slots=4, most=MOST) == MOST


def test_cohort_size_begins_small_where_nothing_was_measured() -> None:
    assert cohort_size(num_epochs=1, seconds_per_epoch=None, num_slots=4, most=MOST) == 1


def test_cohort_size_ignores_the_clock_with_one_slot() -> None:
    sizes = {
        cohort_size(num_epochs=2, seconds_per_epoch=seconds, num_slots=1, most=MOST) for seconds in (None, 0.001, 10.0)
    }

    assert sizes == {MOST}


def test_full_cohort_prefers_the_deepest_rung_and_the_first_to_arrive() -> None:
    ready = [*standing(1, 0, 1, 2), *standing(3, 3, 4), *standing(9, 5)]

    cohort = full_cohort(ready, {1: 2, 3: 2, 9: 2})

    assert [waiting.trial_id for waiting in cohort] == [3, 4]


def test_full_cohort_leaves_those_who_do_not_fill_one() -> None:
    assert full_cohort([*standing(1, 0), *standing(3, 1)], {1: 2, 3: 2}) == []


def test_remaining_cohort_shares_the_deepest_rung_among_idle_slots() -> None:
    ready = [*standing(1, 0), *standing(3, 1, 2, 3, 4, 5)]

    assert [waiting.trial_id for waiting in remaining_cohort(ready, num_idle=2)] == [1, 2, 3]
    assert remaining_cohort([], num_idle=2) == []


def test_a_cohort_takes_those_of_one_signature_together() -> None:
    ready = [
        *standing(1, 0, signature="a"),
        *standing(1, 1, 2, signature="b"),
        *standing(1, 3, signature="a"),
        *standing(1, 4),
    ]

    cohort = full_cohort(ready, {1: 4})

    assert [waiting.trial_id for waiting in cohort] == [0, 3, 1, 2]


@pytest.mark.parametrize(
    ("num_trials", "num_slots", "most"), [(64, 2, 16), (1000, 2, 125), (1000, 50, 16), (10_000, 2, 128)]
)
def test_a_sweep_asks_for_its_trials_in_waves(num_trials: int, num_slots: int, most: int) -> None:
    assert most_in_cohort(num_trials, num_slots) == most


@pytest.mark.parametrize(("num_slots", "size"), [(2, 4), (40, 4), (80, 8), (1000, 100)])
def test_with_many_slots_segments_last_as_long_as_the_driver_needs_for_one_of_each(num_slots: int, size: int) -> None:
    """2 s, or 0.05 s for each slot."""
    assert cohort_size(num_epochs=1, seconds_per_epoch=0.5, num_slots=num_slots, most=128) == size
