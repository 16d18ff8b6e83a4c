"""Hyperband against Li et al. (2018): the table of brackets for R = 81 and eta = 3, and Algorithm 1's numbers."""

import math
from collections import Counter

import pytest

from hpo.scheduling import Hyperband
from hpo.scheduling.line import Line
from hpo.scheduling.ranking import Ranking

HYPERBAND = Hyperband(min_epochs=1, controls=0.0)
TABLE = ((1, 3, 9, 27, 81), (3, 9, 27, 81), (9, 27, 81), (27, 81), (81,))
ROUND = (81, 34, 15, 8, 5)
"""ceil(5 * 3**s / (s + 1)) for s from 4 to 0, as Algorithm 1 says."""


def test_each_bracket_begins_at_another_rung_as_in_the_table() -> None:
    assert tuple(bracket.rungs for bracket in HYPERBAND.plan(143, 81)) == TABLE
    assert HYPERBAND.rungs(81) == TABLE[0]


@pytest.mark.parametrize("first", [0, 50, 143])
def test_a_round_of_trials_is_dealt_out_in_the_proportions_of_algorithm_1(first: int) -> None:
    dealt = Counter(HYPERBAND.ladder(trial_id, 81) for trial_id in range(first, first + sum(ROUND)))

    assert tuple(dealt[ladder] for ladder in TABLE) == ROUND


def test_trials_of_one_bracket_are_spread_evenly_over_a_round() -> None:
    # n = 9, 5 and 3: number k of n stands at (k + 1/2) / n, and of equals the longer ladder comes first
    brackets = [{1: 0, 3: 1, 9: 2}[HYPERBAND.ladder(trial_id, 9)[0]] for trial_id in range(17)]

    assert brackets == [0, 1, 0, 2, 0, 1, 0, 0, 1, 2, 0, 1, 0, 0, 2, 1, 0]


def test_fewer_brackets_leave_the_latest_out() -> None:
    two = Hyperband(min_epochs=1, brackets=2)

    assert {two.ladder(trial_id, 81) for trial_id in range(115)} == set(TABLE[:2])
    assert sum(two.ladder(trial_id, 81) == TABLE[0] for trial_id in range(115)) == 81


def test_the_plan_adds_up_over_the_brackets() -> None:
    brackets = HYPERBAND.plan(17, 9)

    assert [bracket.num_trials for bracket in brackets] == [(9, 3, 1), (5, 1), (3,)]
    assert HYPERBAND.planned_epochs(17, 9) == pytest.approx((9 * 1 + 3 * 2 + 1 * 6) + (5 * 3 + 5 / 3 * 6) + 3 * 9)
    assert [bracket.num_trials for bracket in HYPERBAND.plan(3, 9)] == [(2, 1, 1), (1, 1), (0,)]
    with_controls = Hyperband(min_epochs=1, controls=0.5).planned_epochs(17, 9)
    assert with_controls == pytest.approx((9 * 1 + 6 * 2 + 5 * 6) + (5 * 3 + 10 / 3 * 6) + 3 * 9)


def test_a_bracket_decides_by_the_values_of_its_own_trials() -> None:
    line = Line(HYPERBAND, 9)  # trials 0, 2, 4, 6 and 7 have rungs 1, 3 and 9; 1 and 5 have 3 and 9; 3 has 9

    arrivals = [
        (1, {0: 0.5}, {0: True}),  # the first of its bracket
        (3, {1: 0.9}, {1: True}),  # again
        (1, {2: 0.4, 4: 0.6}, {2: True, 4: False}),  # the best third of 3
        (3, {5: 0.8}, {5: True}),  # better than the only other of its bracket
        (3, {0: 0.7, 2: 0.85}, {0: True, 2: False}),  # trial 5 is none of theirs
        (1, {6: 0.45, 7: 0.3}, {6: False, 7: True}),  # one in 3 of 5 is 1
    ]

    for rung, costs, expected in arrivals:
        verdicts = line.judge(rung, {trial_id: [cost] for trial_id, cost in costs.items()})
        assert {trial_id: verdict.continues for trial_id, verdict in verdicts.items()} == expected
    assert line.num_at_rungs == {1: 5, 3: 4, 9: 0}


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stops(cost: float) -> None:
    assert not HYPERBAND.decide(cost, Ranking([0.5, cost, 0.6])).continues
