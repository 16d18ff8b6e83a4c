import pytest

from hpo.cli.text import why


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ({}, "It reached the last epoch."),
        ({"best_epoch": 7}, "It reached the last epoch, and went back to epoch 7, its best."),
        (
            {"early_stopped": 9, "best_epoch": 7},
            "Its validation loss was no longer falling, and it went back to epoch 7, its best.",
        ),
    ],
)
def test_a_complete_trial_says_why_it_ended(reason: dict[str, int], sentence: str) -> None:
    assert why({"end": "complete", "reason": reason}) == sentence
