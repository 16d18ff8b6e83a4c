import math

import pytest

from hpo.programs.epochs import Epochs
from hpo.programs.trial import Bounds


@pytest.fixture
def epochs() -> Epochs:
    """Of a trial that has two behind it, and stands at its rung after five."""
    return Epochs(Bounds(from_epoch=2, to_epoch=5, max_epochs=9, metric="score"))


def log(epochs: Epochs, *rows: tuple[str, float, int]) -> None:
    for at_s, (name, value, epoch) in enumerate(rows, start=1):
        epochs.log(name, value, epoch, float(at_s))


def told(epochs: Epochs) -> list[tuple[int, dict[str, float], float]]:
    return [(each.epoch, dict(each.metrics), at_s) for each, at_s in epochs.through()]


def test_an_epoch_is_told_with_all_its_metrics_once_something_of_a_later_one_is_logged(epochs: Epochs) -> None:
    log(epochs, ("score", 0.3, 3), ("loss", 1.0, 3))
    before = told(epochs)
    log(epochs, ("loss", 0.9, 4))

    assert before == []
    assert told(epochs) == [(3, {"score": 0.3, "loss": 1.0}, 2.0)]
    assert told(epochs) == []


def test_epochs_of_which_the_trial_has_told_are_not_told_again(epochs: Epochs) -> None:
    log(epochs, *(("score", epoch / 10, epoch) for epoch in range(6)))

    assert [epoch for epoch, _, _ in told(epochs)] == [3, 4]
    assert [each.epoch for each, _ in epochs.rest()] == [5]


def test_the_last_epoch_is_told_at_the_programs_end_alone(epochs: Epochs) -> None:
    log(epochs, ("score", 0.3, 3), ("score", 0.4, 4), ("score", 0.5, 5), ("loss", 1.0, 900))

    assert [epoch for epoch, _, _ in told(epochs)] == [3, 4]
    assert [(each.epoch, dict(each.metrics)) for each, _ in epochs.rest()] == [(5, {"score": 0.5})]


def test_other_metrics_may_run_ahead_of_the_sweeps(epochs: Epochs) -> None:
    log(epochs, ("loss", 1.0, 3), ("loss", 0.9, 4))
    before = told(epochs)
    log(epochs, ("score", 0.3, 3))

    assert before == []
    assert told(epochs) == [(3, {"loss": 1.0, "score": 0.3}, 1.0)]


def test_an_epoch_that_was_left_out_is_named(epochs: Epochs) -> None:
    log(epochs, ("loss", 1.0, 3), ("score", 0.4, 4))

    with pytest.raises(ValueError, match="score, the sweep's metric, .* but of 3 only loss is logged"):
        told(epochs)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_is_told_at_once_and_nothing_after_it(epochs: Epochs, value: float) -> None:
    log(epochs, ("score", 0.3, 3), ("loss", value, 4), ("score", 0.5, 5))

    assert [epoch for epoch, _, _ in told(epochs)] == [3, 4]
