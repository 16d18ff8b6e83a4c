import math
from collections import Counter
from random import Random

import pytest
from pydantic import ValidationError

from hpo.scheduling.line import Line
from hpo.scheduling.population import Pbt

EIGHT = {trial_id: float(trial_id) for trial_id in range(8)}


@pytest.mark.parametrize(
    ("scheduler", "max_epochs", "turns"),
    [
        (Pbt(), 27, (3, 6, 9, 12, 15, 18, 21, 24, 27)),
        (Pbt(), 5, (1, 2, 3, 4, 5)),
        (Pbt(every=4), 10, (4, 8, 10)),
        (Pbt(), 1, (1,)),
    ],
)
def test_turns_come_every_ninth_of_the_way_unless_told_otherwise(
    scheduler: Pbt, max_epochs: int, turns: tuple[int, ...]
) -> None:
    assert scheduler.rungs(max_epochs) == turns


def test_a_population_costs_what_its_members_would_without_turns() -> None:
    scheduler = Pbt(population=20, every=3)

    assert scheduler.planned_epochs(64, 9) == 20 * 9
    assert scheduler.trials_per_rung(64, 9) == (20, 20, 20)
    assert scheduler.num_children(9) == 2 * 5


@pytest.mark.parametrize(
    ("costs", "stopped"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], {6, 7}),
        ([7, 6, 5, 4, 3, 2, 1, 0], {0, 1}),
        ([1, 2, 3], set()),
        ([4, 1, 2, 3], {0}),
        ([2, 2, 2, 1], {2}),
        ([3, math.nan, math.inf, 1], {1, 2}),
        ([3, 1, 2, 2, math.nan, math.nan, math.nan], {4, 5, 6}),
        ([math.nan], {0}),
    ],
    ids=[
        "the worst two of eight",
        "in whatever order they came",
        "too few to judge by",
        "the worst of four",
        "the last of equals",
        "whatever is not finite",
        "nobody else, where so many diverged",
        "even if it comes first",
    ],
)
def test_the_worst_quarter_of_all_that_have_come_gives_way(costs: list[float], stopped: set[int]) -> None:
    seen = dict(enumerate(costs))

    assert {trial_id for trial_id in seen if not Pbt().take_turn(trial_id, seen).continues} == stopped


def test_a_verdict_says_what_it_was_judged_by() -> None:
    verdict = Pbt().take_turn(6, EIGHT)

    assert (verdict.rank, verdict.num_seen, verdict.cutoff) == (7, 8, 5.0)


@pytest.mark.parametrize("cost", [math.nan, math.inf])
def test_whoever_is_sound_waits_for_its_turn(cost: float) -> None:
    line = Line(Pbt(every=3), max_epochs=9)

    verdicts = line.judge(3, {4: [0.1, 0.2, 0.9], 5: [0.1, 0.2, cost]})

    assert {trial_id: verdict.continues for trial_id, verdict in verdicts.items()} == {4: True, 5: False}
    assert line.num_at_rungs == {3: 1, 6: 0, 9: 0}


def test_nobody_gives_way_to_a_worse_one() -> None:
    generator = Random(0)
    scheduler = Pbt(quantile=0.5)
    for num_seen in range(1, 40):
        costs = {k: generator.choice([0.1, 0.2, 0.3, math.nan]) for k in range(num_seen)}
        stopped = [trial_id for trial_id in costs if not scheduler.take_turn(trial_id, costs).continues]
        parents = {scheduler.choose_parent(costs, generator) for _ in range(20)} - {None}

        assert not parents & set(stopped)
        assert not any(costs[lost] < costs[parent] for lost in stopped for parent in parents if parent is not None)


def test_a_parent_is_drawn_evenly_from_the_best_quarter() -> None:
    generator = Random(0)

    drawn = Counter(Pbt().choose_parent(EIGHT, generator) for _ in range(2_000))

    assert drawn.keys() == {0, 1}
    assert drawn[0] == pytest.approx(1_000, abs=100)


@pytest.mark.parametrize(
    ("costs", "parent"),
    [
        ({}, None),
        ({0: 0.1, 1: 0.2, 2: 0.3}, None),
        ({0: math.nan, 1: math.inf, 2: math.nan, 3: math.nan}, None),
        ({0: math.nan, 1: 0.9, 2: math.nan, 3: math.nan}, 1),
        ({0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1}, 3),
    ],
    ids=["nobody", "too few", "all have diverged", "all but one have", "four"],
)
def test_a_parent_needs_others_to_be_among_the_best_of(costs: dict[int, float], parent: int | None) -> None:
    assert Pbt().choose_parent(costs, Random(0)) == parent


def test_who_is_too_bad_to_be_chosen_when_all_have_come_is_no_possible_parent() -> None:
    scheduler = Pbt(population=9, quantile=0.25)

    assert scheduler.possible_parents(EIGHT) == [0, 1]
    assert scheduler.possible_parents({0: 0.1, 1: math.nan}) == [0]


def test_whoever_is_farthest_behind_trains_next_a_slots_share_at_a_time() -> None:
    waiting = {4: 6, 3: 3, 7: 3, 1: 9, 0: 3}

    assert Pbt(population=4).choose(waiting, num_slots=1) == [3, 7, 0]
    assert Pbt(population=4).choose(waiting, num_slots=2) == [3, 7]
    assert Pbt(population=5).choose(waiting, num_slots=2) == [3, 7, 0]
    assert Pbt().choose({}, num_slots=1) == []


def test_a_population_of_which_nobody_could_ever_give_way_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        Pbt(population=3)

    assert caught.value.errors()[0]["msg"] == (
        "Value error, quantile must be at least 1 / population, which is 0.333, but got 0.25: nobody would ever give "
        "way. Raise one of the two."
    )
    assert Pbt(population=2, quantile=0.5).population == 2
