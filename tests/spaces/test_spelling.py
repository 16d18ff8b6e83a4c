import pytest

from hpo.spaces.spelling import did_you_mean

PATHS = ["batch_size", "optimizer.kind", "optimizer.lr", "model.dropout"]


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("batchsize", " Did you mean `batch_size`?"),
        ("optimiser.lr", " Did you mean `optimizer.lr`?"),
        ("lr", " Did you mean `optimizer.lr`?"),
        ("optimizer", " Did you mean `optimizer.kind`?"),
        ("zebra", ""),
    ],
)
def test_the_closest_name_is_guessed(word: str, guess: str) -> None:
    assert did_you_mean(word, PATHS) == guess
