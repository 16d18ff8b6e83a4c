import pytest

from hpo.scheduling.controls import is_control


def controls(seed: int, num_trials: int, share: float) -> list[int]:
    return [trial_id for trial_id in range(num_trials) if is_control(seed, trial_id, share)]


def test_who_is_a_control_never_changes() -> None:
    assert controls(0, 200, 0.05) == [0, 13, 34, 68, 89, 102, 123, 144, 157, 178, 191]
    assert controls(1, 200, 0.05) != controls(0, 200, 0.05)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.7, 1.0])
def test_of_trials_in_a_row_the_share_is_nearly_met(share: float) -> None:
    for seed in range(5):
        for num_trials in (9, 64, 500):
            assert abs(len(controls(seed, num_trials, share)) - share * num_trials) < 3


def test_every_trial_is_as_likely_to_be_one() -> None:
    nums = [sum(is_control(seed, trial_id, 0.25) for seed in range(2000)) for trial_id in range(8)]

    assert all(abs(num - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5 for num in nums)


@pytest.mark.parametrize("rhythm", [2, 3, 4, 5, 8])
def test_they_follow_no_rhythm(rhythm: int) -> None:
    found = controls(0, 20_000, 0.05)

    nums = [sum(trial_id % rhythm == place for trial_id in found) for place in range(rhythm)]
    assert max(nums) - min(nums) < 10
