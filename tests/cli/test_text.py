import pytest

from hpo.cli.ensemble import gain_text
from hpo.cli.text import why


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ({}, "It reached the last epoch."),
        (
            {"spared": 3, "cutoff": 0.75, "rank": 7, "num_seen": 9},
            (
                "It reached the last epoch as a control: at epoch 3 it was number 7 of the 9 that had come so far, and "
                "would have been stopped."
            ),
        ),
        ({"best_epoch": 7}, "It reached the last epoch, and went back to epoch 7, its best."),
        (
            {"early_stopped": 9, "best_epoch": 7},
            "Its validation loss was no longer falling, and it went back to epoch 7, its best.",
        ),
    ],
)
def test_a_complete_trial_says_why_it_ended(reason: dict[str, float], sentence: str) -> None:
    assert why({"end": "complete", "reason": reason}) == sentence


@pytest.mark.parametrize(
    ("cutoff", "took"),
    [(0.75, "going on took 0.75."), (None, "nobody could go on.")],
    ids=["some go on", "nobody does"],
)
def test_a_stopped_trial_says_what_it_took_to_go_on(cutoff: float | None, took: str) -> None:
    reason = {"rung": 3, "cutoff": cutoff, "rank": 1, "num_seen": 2}

    assert (
        why({"end": "stopped", "reason": reason}) == f"At epoch 3 it was number 1 of the 2 that had come so far; {took}"
    )


def test_a_trial_that_gave_way_says_who_took_its_place() -> None:
    reason = {"exploited": 17, "rung": 3, "cutoff": 0.75, "rank": 4, "num_seen": 4}

    assert why({"end": "stopped", "reason": reason}) == (
        "At epoch 3 it was number 4 of the 4 that had come so far; going on took 0.75. Trial 17 took its place."
    )


def test_a_trial_over_its_limit_says_what_it_was() -> None:
    assert why({"end": "timed_out", "reason": {"limit_s": 1800.0}}) == "It trained longer than the 0:30:00 that it may."


def test_a_gain_is_told_in_words_for_both_signs() -> None:
    assert gain_text(0.0102, 0.0) == "NLL 0.0102 below it, calibrated; on shuffled labels 0.0000 below it"
    assert gain_text(-0.0121, -0.0003) == "NLL 0.0121 above it, calibrated; on shuffled labels 0.0003 above it"
