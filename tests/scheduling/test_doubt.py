"""Whether a rung has told anything, against correlations by hand."""

import math
import random

import pytest
import scipy.stats
from pydantic import ValidationError

from hpo.scheduling import Asha
from hpo.scheduling.doubt import agreement
from hpo.scheduling.line import Line

RISING = dict(enumerate(range(8)))
FALLING = {trial_id: 7 - trial_id for trial_id in range(8)}
SWAPPED = {**RISING, 0: 1, 1: 0}
"""Of two neighbours: rho is 1 - 6 (1 + 1) / (8 * 63)."""


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ({1: RISING, 3: RISING}, 1.0),
        ({1: RISING, 3: FALLING}, -1.0),
        ({1: RISING, 3: SWAPPED}, 1 - 12 / 504),
        ({1: RISING, 3: RISING, 9: FALLING}, -1.0),
        ({1: RISING, 3: FALLING, 9: {0: 0, 1: 1}}, -1.0),
        ({1: RISING | {8: math.nan}, 3: FALLING | {8: 9, 9: 9, 10: math.inf}}, -1.0),
    ],
    ids=["the same order", "the other", "two swapped", "the end counts most", "too few at the end", "not finite"],
)
def test_agreement_is_spearmans_with_the_farthest_rung_that_enough_have_come_to(
    costs: dict[int, dict[int, float]], expected: float
) -> None:
    assert agreement(1, costs) == pytest.approx(expected)


def test_agreement_is_that_of_scipy_with_ties_too() -> None:
    draw = random.Random(0)
    for _ in range(20):
        here, there = ([draw.randrange(6) for _ in range(12)] for _ in range(2))

        found = agreement(1, {1: dict(enumerate(here)), 3: dict(enumerate(there))})

        assert found == pytest.approx(scipy.stats.spearmanr(here, there).statistic)


@pytest.mark.parametrize(
    "costs",
    [
        {1: RISING},
        {1: RISING, 3: {trial_id: -cost for trial_id, cost in RISING.items() if trial_id < 7}},
        {1: RISING, 3: dict.fromkeys(range(8), 0.5)},
        {1: dict.fromkeys(range(8), 0.5), 3: RISING},
    ],
    ids=["the last rung", "seven", "alike later", "alike here"],
)
def test_of_a_rung_that_cannot_be_asked_nothing_is_said(costs: dict[int, dict[int, float]]) -> None:
    assert agreement(1, costs) is None


def line_of(scheduler: Asha, later: dict[int, int]) -> Line:
    """Eight trials at epoch 1, the last the worst, and at epoch 3."""
    line = Line(scheduler, 9)
    for rung, costs in ((1, RISING), (3, later)):
        line.judge(rung, {trial_id: [float(cost)] for trial_id, cost in costs.items()})
    return line


def test_a_rung_that_has_told_nothing_lets_everybody_go_on_and_says_why() -> None:
    verdict = line_of(Asha(), FALLING).judge(1, {8: [9.0]})[8]

    assert verdict.continues
    assert verdict.doubt == pytest.approx(-1.0)
    assert (verdict.rank, verdict.num_seen) == (9, 9)


def test_what_would_go_on_anyhow_is_not_in_doubt() -> None:
    verdict = line_of(Asha(), FALLING).judge(1, {8: [-1.0]})[8]

    assert verdict.continues
    assert verdict.doubt is None


def test_a_rung_stops_again_when_later_values_agree() -> None:
    line = line_of(Asha(), FALLING)
    ends = {trial_id: [float(cost)] for trial_id, cost in RISING.items()}

    line.judge(9, ends)

    assert not line.judge(1, {8: [9.0]})[8].continues


@pytest.mark.parametrize("cost", [math.nan, math.inf])
def test_what_is_not_finite_stops_at_every_rung(cost: float) -> None:
    assert not line_of(Asha(), FALLING).judge(1, {8: [cost]})[8].continues


@pytest.mark.parametrize(
    ("scheduler", "continues"),
    [
        (Asha(min_epochs=1), False),
        (Asha(min_epochs=1, doubts="always"), True),
        (Asha(doubts="never"), False),
    ],
    ids=["a first rung that was written", "doubts that were", "none that were"],
)
def test_what_the_user_wrote_is_respected(scheduler: Asha, continues: bool) -> None:
    assert line_of(scheduler, FALLING).judge(1, {8: [9.0]})[8].continues is continues


@pytest.mark.parametrize("doubts", ["always", "never"])
def test_promotion_has_nothing_to_doubt(doubts: str) -> None:
    with pytest.raises(ValidationError, match=r"doubts must be auto with form promotion, .* Drop it, or use form:"):
        Asha.model_validate({"form": "promotion", "doubts": doubts})
