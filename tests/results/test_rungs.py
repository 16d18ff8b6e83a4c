import math
import random
from dataclasses import replace

import pytest
import scipy.stats

from hpo.records import Decision, End, EndKind, Goal, Outcome, TrialRecord
from hpo.results.rungs import Rung, summarize_rungs

GOES_ON, STOPS, SPARED, PAUSES = Outcome.CONTINUES, Outcome.STOPS, Outcome.SPARED, Outcome.PAUSES


def trial(trial_id: int, *decided: tuple[int, float, Outcome], end: float | EndKind | None = None) -> TrialRecord:
    """What was decided of it at which rung by which value; and its value at the end, or another end."""
    decisions = tuple(
        Decision(rung=rung, value=value, cutoff=0.5, rank=1, num_seen=1, outcome=outcome)
        for rung, value, outcome in decided
    )
    kind = end if isinstance(end, EndKind) else EndKind.COMPLETE if end is not None else EndKind.STOPPED
    value = end if isinstance(end, float) else None
    return TrialRecord(
        trial_id=trial_id, params={}, decisions=decisions, end=End(kind=kind, epoch=decided[-1][0], value=value)
    )


TRIALS = [
    trial(0, (1, 0.90, GOES_ON), (3, 0.91, GOES_ON), end=0.95),
    trial(1, (1, 0.80, GOES_ON), (3, 0.82, GOES_ON), end=0.85),
    trial(2, (1, 0.70, GOES_ON), (3, 0.88, GOES_ON), end=0.90),
    trial(3, (1, 0.60, GOES_ON), (3, 0.61, STOPS)),
    trial(4, (1, 0.30, SPARED), (3, 0.89, GOES_ON), end=0.97),
    trial(5, (1, 0.40, SPARED), (3, 0.45, SPARED), end=0.46),
    trial(6, (1, 0.65, GOES_ON), (3, 0.50, SPARED), end=0.51),
    trial(7, (1, 0.20, SPARED), end=EndKind.DIVERGED),
    *(trial(trial_id, (1, 0.1, STOPS)) for trial_id in range(8, 14)),
]


def test_a_hand_worked_table() -> None:
    first, second = summarize_rungs(TRIALS, Goal.MAXIMIZE, num_best=2)

    # At the end 4, 0, 2, 1, 6 and 5 are best to worst; at epoch 1 it was 0, 1, 2, 6, 5 and 4: five places away for 4,
    # one, two and none for 0, 1 and 2, one for 6 and 5. At epoch 3 only 0 and 4 stood the other way round.
    assert first.correlation == pytest.approx(1 - 6 * (25 + 1 + 4 + 0 + 1 + 1) / (6 * 35))
    assert second.correlation == pytest.approx(1 - 6 * (1 + 1) / (6 * 35))
    assert replace(first, correlation=None) == Rung(
        epoch=1,
        num_seen=14,
        num_stopped=6,
        num_spared=3,
        num_doubted=0,
        num_finished=6,
        num_controls=3,
        correlation=None,
        num_spared_finished=2,
        num_spared_best=1,
        num_lost=3.0,
    )
    assert replace(second, correlation=None) == Rung(
        epoch=3,
        num_seen=7,
        num_stopped=1,
        num_spared=1,
        num_doubted=0,
        num_finished=6,
        num_controls=3,
        correlation=None,
        num_spared_finished=1,
        num_spared_best=0,
        num_lost=0.0,
    )


def test_the_lowest_are_the_best_where_the_goal_is_to_minimize() -> None:
    first, _ = summarize_rungs(TRIALS, Goal.MINIMIZE, num_best=2)

    assert (first.num_spared_best, first.num_lost) == (1, 3.0)  # trial 5, where to maximize it was trial 4
    assert first.correlation == pytest.approx(1 - 6 * 32 / 210)


def test_the_correlation_is_that_of_scipy_with_ties_too() -> None:
    draw = random.Random(0)
    for _ in range(20):
        here = [draw.randrange(6) / 10 for _ in range(12)]
        at_end = [value + draw.randrange(4) / 10 for value in here]
        trials = [
            trial(trial_id, (1, value, GOES_ON), end=final)
            for trial_id, (value, final) in enumerate(zip(here, at_end, strict=True))
        ]

        [rung] = summarize_rungs(trials, Goal.MAXIMIZE)

        assert rung.correlation == pytest.approx(scipy.stats.spearmanr(here, at_end).statistic)


def test_a_few_trials_or_equal_ones_have_no_correlation() -> None:
    four = [trial(trial_id, (1, trial_id / 10, GOES_ON), end=0.9 + trial_id / 100) for trial_id in range(4)]
    alike = [trial(trial_id, (1, 0.5, GOES_ON), end=0.9 + trial_id / 100) for trial_id in range(9)]

    assert [rung.correlation for rung in summarize_rungs(four, Goal.MAXIMIZE)] == [None]
    assert [rung.correlation for rung in summarize_rungs(alike, Goal.MAXIMIZE)] == [None]


def test_without_controls_or_with_as_few_trials_as_are_best_nobody_can_say_what_was_lost() -> None:
    without = [each for each in TRIALS if all(decision.outcome is not SPARED for decision in each.decisions)]
    as_few = [trial(0, (1, 0.9, GOES_ON), end=0.9), trial(1, (1, 0.1, SPARED), end=0.1), trial(2, (1, 0.2, STOPS))]

    assert [rung.num_lost for rung in summarize_rungs(without, Goal.MAXIMIZE, num_best=2)] == [None, None]
    assert [rung.num_lost for rung in summarize_rungs(as_few, Goal.MAXIMIZE, num_best=2)] == [None]


def test_a_trial_that_paused_is_counted_once_as_it_ended_there() -> None:
    trials = [trial(0, (1, 0.9, PAUSES), (1, 0.9, GOES_ON), end=0.9), trial(1, (1, 0.2, PAUSES), (1, 0.2, STOPS))]

    [rung] = summarize_rungs(trials, Goal.MAXIMIZE)

    assert (rung.num_seen, rung.num_stopped, rung.num_finished) == (2, 1, 1)


def test_a_first_value_that_nothing_is_compared_with_is_no_obstacle() -> None:
    alone = trial(0, (1, 0.9, GOES_ON), end=0.9)
    first = TrialRecord(
        trial_id=1,
        params={},
        decisions=(Decision(rung=1, value=0.5, cutoff=-math.inf, rank=1, num_seen=1, outcome=PAUSES),),
    )

    [rung] = summarize_rungs([alone, first], Goal.MAXIMIZE)

    assert (rung.num_seen, rung.num_finished, rung.correlation) == (2, 1, None)
