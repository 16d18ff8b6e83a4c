"""What a plot is made of, and how much of it is shown."""

import math

import pytest

from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.results.report.points import Mark, Point, best_so_far, points_of, scale_of

UP, DOWN = Goal.MAXIMIZE, Goal.MINIMIZE


def trial(trial_id: int, kind: EndKind | None, value: float | None = None, repeats: int | None = None) -> TrialRecord:
    values = {} if value is None else {1: 0.1, 3: value}
    end = None if kind is None else End(kind=kind, epoch=3, value=value)
    return TrialRecord(trial_id=trial_id, params={}, values=values, end=end, repeats=repeats)


def point(trial_id: int, mark: Mark, value: float | None) -> Point:
    return Point(trial_id=trial_id, mark=mark, value=value, params={})


def test_every_trial_of_the_search_is_a_point_with_its_last_value() -> None:
    trials = [
        trial(2, EndKind.STOPPED, 0.4),
        trial(0, EndKind.COMPLETE, 0.9),
        trial(1, None, 0.5),
        trial(3, None),
        trial(4, EndKind.COMPLETE, 0.9, repeats=0),
    ]

    found = points_of(trials)

    assert [(each.trial_id, each.mark, each.value) for each in found] == [
        (0, Mark.COMPLETE, 0.9),
        (1, Mark.OPEN, 0.5),
        (2, Mark.STOPPED, 0.4),
        (3, Mark.OPEN, None),
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (EndKind.DIVERGED, 0.3),
        (EndKind.FAILED, None),
        (EndKind.TIMED_OUT, 0.3),
        (EndKind.COMPLETE, math.nan),
    ],
)
def test_what_diverged_or_failed_has_no_value_but_is_there(kind: EndKind, value: float | None) -> None:
    [found] = points_of([trial(0, kind, value)])

    assert (found.mark, found.value) == (Mark.INFEASIBLE, None)


def test_the_best_so_far_is_of_those_that_went_to_the_end() -> None:
    values = [(Mark.COMPLETE, 0.5), (Mark.STOPPED, 0.9), (Mark.COMPLETE, 0.4), (Mark.INFEASIBLE, None)]
    points = [point(trial_id, mark, value) for trial_id, (mark, value) in enumerate([*values, (Mark.COMPLETE, 0.7)])]

    assert best_so_far(points, UP) == [(0, 0.5), (2, 0.5), (4, 0.7)]
    assert best_so_far(points, DOWN) == [(0, 0.5), (2, 0.4), (4, 0.4)]


def test_a_plot_shows_four_times_the_way_from_the_best_to_the_end_of_the_best_quarter() -> None:
    losses = [1.0, 2.0, 3.0, 4.0, 1000.0]  # the quartile is 2: shown is 1 to 5, with a margin of 5 %

    up = scale_of([-loss for loss in losses], "loss", UP)
    down = scale_of(losses, "loss", DOWN)

    assert [down.low, down.high, down.num_beyond] == pytest.approx([0.8, 5.2, 1])
    assert [up.low, up.high, up.num_beyond] == pytest.approx([-5.2, -0.8, 1])
    assert (down.clip(1000.0), down.clip(2.0)) == (down.high, 2.0)


def test_a_plot_shows_no_more_than_there_is() -> None:
    shown = scale_of([1.0, 2.0, 3.0], "loss", DOWN)  # four times the way would be 3

    assert [shown.low, shown.high, shown.num_beyond] == pytest.approx([0.9, 3.1, 0])


def test_values_that_are_all_alike_or_as_good_as_the_best_have_a_plot() -> None:
    assert scale_of([0.5], "loss", UP).low < 0.5 < scale_of([0.5], "loss", UP).high
    assert scale_of([0.0, 0.0], "loss", DOWN).high > 0
    assert scale_of([0.0, 0.0, 0.0, 9.0], "loss", DOWN).num_beyond == 0
