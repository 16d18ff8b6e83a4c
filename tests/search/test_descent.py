"""Coordinate descent, by hand on small landscapes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.study import StudyDirection

from hpo.records import End, EndKind
from hpo.search.descent import CoordinateDescent
from hpo.search.distributions import Stored
from hpo.search.proposer import Problem
from hpo.search.samplers import Coordinate
from hpo.search.walk import Place, noise_among
from hpo.spaces import Choice, LogUniform, QUniform, RandInt, Uniform
from tests.search.opening import open_study, shape_of

DOUBLINGS = LogUniform(min=2.0**-6, max=2.0**6)
PROBLEM = Problem(
    shape=shape_of(x=DOUBLINGS, y=DOUBLINGS),
    direction=StudyDirection.MINIMIZE,
    max_epochs=9,
    seed=0,
)
Spot = tuple[float, ...]


def begin(problem: Problem = PROBLEM, *, factor: float = 2.0, noise: float | None = 0.0) -> CoordinateDescent:
    return CoordinateDescent(problem, factor, noise)


def spot(params: dict[str, Stored]) -> Spot:
    """In doublings."""
    return tuple(round(math.log2(float(value)), 6) for _, value in sorted(params.items()))


def valley(here: Spot) -> float:
    """Lowest, 0, at x = 2^1 and y = 2^-1."""
    return (here[0] - 1) ** 2 + (here[1] + 1) ** 2


def tell(search: CoordinateDescent, number: int, value: float | None, kind: EndKind = EndKind.COMPLETE) -> None:
    search.end(number, {}, End(kind=kind, epoch=9, value=value))


def ask(search: CoordinateDescent, num: int) -> list[Spot]:
    return [spot(search.propose({})) for _ in range(num)]


def train(
    search: CoordinateDescent, num: int, first: int, cost: Callable[[Spot], float] = valley, wave: int = 1
) -> list[Spot]:
    """`num` trials, `wave` of which run at once."""
    tried: list[Spot] = []
    while len(tried) < num:
        asked = ask(search, min(wave, num - len(tried)))
        for number, here in enumerate(asked, first + len(tried)):
            tell(search, number, cost(here))
        tried += asked
    return tried


def test_a_descent_by_hand() -> None:
    search = begin()

    assert train(search, 1, 0) == [(0, 0)]  # costs 2
    first = train(search, 4, 1, wave=4)
    assert set(first) == {(1, 0), (-1, 0), (0, 1), (0, -1)}  # costs 1, 5, 5, 1: the first of the best
    base = next(here for here in first if valley(here) == 1)
    second = train(search, 3, 5, wave=3)
    assert second[0] == (2 * base[0], 2 * base[1])  # on in the same direction
    assert (1, -1) in second  # costs 0
    assert set(train(search, 2, 8, wave=2)) == {(2, -1), (1, -2)}  # the other two were tried
    assert set(train(search, 4, 10, wave=4)) == {(1.5, -1), (0.5, -1), (1, -0.5), (1, -1.5)}  # by the root of 2
    assert set(train(search, 4, 14, wave=4)) == {(1.25, -1), (0.75, -1), (1, -0.75), (1, -1.25)}  # by its fourth root
    [elsewhere] = ask(search, 1)
    assert math.dist(elsewhere, (1, -1)) > 3


@pytest.mark.parametrize("wave", [1, 4, 16])
def test_the_lowest_point_of_three_dimensions_is_found_within_60_trials(wave: int) -> None:
    search = begin(replace(PROBLEM, shape=shape_of(x=DOUBLINGS, y=DOUBLINGS, z=DOUBLINGS)))

    tried = train(search, 60, 0, lambda here: math.dist(here, (1.3, -0.8, 2.1)) ** 2, wave=wave)

    # Within half of the smallest step, a fourth of a doubling, along each axis.
    assert min(math.dist(here, (1.3, -0.8, 2.1)) for here in tried) <= math.sqrt(3) / 8


def test_what_is_maximized_climbs() -> None:
    search = begin(replace(PROBLEM, direction=StudyDirection.MAXIMIZE))

    tried = train(search, 18, 0, lambda here: -valley(here))

    assert (1, -1) in tried


def test_steps_are_factors_quarters_of_the_range_and_neighbouring_or_other_values() -> None:
    shape = shape_of(
        a=LogUniform(min=0.01, max=100),
        b=Uniform(min=0, max=2),
        c=QUniform(min=0, max=1.2, q=0.1),
        d=RandInt(min=1, max=5),
        e=Choice(values=(32, 64, 128)),
        f=Choice(values=("relu", "gelu", "tanh")),
    )
    search = begin(replace(PROBLEM, shape=shape), factor=3.0)
    start = search.propose({})

    steps = [search.propose({}) for _ in range(12)]

    assert start == pytest.approx({"a": 1.0, "b": 1.0, "c": 0.6, "d": 3, "e": 64, "f": "gelu"})
    changed = {name: [step[name] for step in steps if step[name] != start[name]] for name in shape.distributions}
    assert sorted(map(float, changed["a"])) == pytest.approx([1 / 3, 3.0])
    assert sorted(map(float, changed["b"])) == pytest.approx([0.5, 1.5])
    assert sorted(map(float, changed["c"])) == pytest.approx([0.3, 0.9])  # 12 steps in the range
    assert {name: set(changed[name]) for name in "def"} == {"d": {2, 4}, "e": {32, 128}, "f": {"relu", "tanh"}}


def test_a_step_beyond_the_range_goes_to_its_end() -> None:
    search = begin()
    search.propose({"x": 2.0**5.5, "y": 2.0**-6})

    assert set(ask(search, 3)) == {(6, -6), (4.5, -6), (5.5, -5)}


def test_the_start_is_tried_three_times_to_learn_the_noise() -> None:
    search = begin(noise=None)

    tried = ask(search, 7)

    assert tried[:3] == [(0, 0)] * 3
    assert set(tried[3:]) == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def next_after_a_round(noise: float | None, starts: Sequence[float], value: float) -> tuple[Spot, Spot]:
    """The first neighbour of (0, 0), which costs `value` where all others cost 2, and what is tried next."""
    search = begin(noise=noise)
    for number, cost in enumerate(starts):
        assert train(search, 1, number, lambda _, cost=cost: cost) == [(0, 0)]  # type: ignore[misc]
    around = ask(search, 4)
    for number, cost in enumerate((value, 2.0, 2.0, 2.0), len(starts)):
        tell(search, number, cost)
    return around[0], ask(search, 1)[0]


@pytest.mark.parametrize(("value", "moves"), [(0.98, False), (0.96, True)])
def test_a_move_must_gain_more_than_one_standard_error(value: float, moves: bool) -> None:
    neighbour, following = next_after_a_round(None, (1.0, 1.2, 1.4), value)

    # The start costs 1.2 on average, with a standard deviation of 0.2. This mean of three and a single value differ
    # with a standard error of 0.2 sqrt(1/3 + 1) = 0.231.
    assert (following == (2 * neighbour[0], 2 * neighbour[1])) is moves
    assert math.dist(following, (0, 0)) == (2 if moves else 0.5)


@pytest.mark.parametrize(("value", "moves"), [(0.87, False), (0.85, True)])
def test_noise_can_be_given_as_the_standard_deviation_of_a_value(value: float, moves: bool) -> None:
    _, following = next_after_a_round(0.1, (1.0,), value)

    # Two single values differ with a standard error of 0.1 sqrt(2) = 0.141.
    assert math.dist(following, (0, 0)) == (2 if moves else 0.5)


def test_noise_is_that_of_all_places_that_were_tried_again() -> None:
    costs = ([1.0, 1.6], [3.0], [3.0, 3.6, 3.3])
    places = [Place(point=np.zeros(2), number=0, costs=list(several)) for several in costs]

    # Squares of deviations 0.18 and 0.18, of one degree of freedom and two.
    assert noise_among(places) == pytest.approx(math.sqrt(0.36 / 3))
    assert noise_among(places[1:2]) == 0


def test_of_sixteen_trials_before_any_result_none_is_like_another() -> None:
    search = begin(noise=None)

    tried = ask(search, 16)

    assert set(tried[3:7]) == {(1, 0), (-1, 0), (0, 1), (0, -1)}
    assert len(set(tried)) == 14
    assert max(abs(number) for here in tried for number in here) == 1  # steps along both axes, and smaller ones


def test_it_does_not_matter_in_which_order_trials_end() -> None:
    following = set()
    for seed in range(6):
        search = begin(noise=None)
        asked = ask(search, 20)
        for number in np.random.default_rng(seed).permutation(15).tolist():
            tell(search, number, valley(asked[number]) + 0.1 * number)
        following.add(tuple(ask(search, 3)))

    assert len(following) == 1


def test_results_near_a_start_wait_for_its_own() -> None:
    search = begin()
    around = ask(search, 5)
    for number in range(1, 5):
        tell(search, number, valley(around[number]))

    waiting = ask(search, 1)
    tell(search, 0, valley((0, 0)))
    [following] = ask(search, 1)

    assert max(map(abs, waiting[0])) <= 1
    assert max(map(abs, following)) == 2  # on from (1, 0) or (0, -1)


def test_a_trial_that_was_stopped_is_not_better_than_a_complete_one() -> None:
    search = begin()
    train(search, 1, 0)
    ask(search, 4)
    for number in range(1, 5):
        tell(search, number, 0.001, EndKind.STOPPED)

    assert {math.dist(here, (0, 0)) for here in ask(search, 4)} == {0.5}


@pytest.mark.parametrize("kind", [EndKind.DIVERGED, EndKind.FAILED, EndKind.TIMED_OUT])
def test_where_a_trial_diverged_or_failed_the_descent_does_not_go(kind: EndKind) -> None:
    search = begin()
    train(search, 1, 0)
    around = ask(search, 4)
    for number in range(1, 5):
        tell(search, number, None, kind)

    tried = ask(search, 8)

    assert not set(tried) & set(around)
    assert {math.dist(here, (0, 0)) for here in tried[:4]} == {0.5}


@pytest.mark.parametrize("kind", [EndKind.DIVERGED, EndKind.FAILED])
def test_a_start_that_diverged_or_failed_is_left_for_another(kind: EndKind) -> None:
    search = begin(noise=None)
    ask(search, 1)
    tell(search, 0, None, kind)

    start, *around = ask(search, 5)

    assert math.dist(start, (0, 0)) > 3
    assert max(math.dist(here, start) for here in around) <= 1.000001


def test_a_start_that_diverged_is_left_for_a_stopped_neighbour() -> None:
    search = begin()
    around = ask(search, 5)
    for number, kind in enumerate([EndKind.DIVERGED, EndKind.DIVERGED, EndKind.STOPPED] + [EndKind.FAILED] * 2):
        tell(search, number, 5.0 if kind is EndKind.STOPPED else None, kind)

    [following] = ask(search, 1)

    assert following == (2 * around[2][0], 2 * around[2][1])


def test_a_place_where_one_of_several_trials_diverged_is_left() -> None:
    search = begin(noise=None)
    ask(search, 3)
    tell(search, 0, 1.0)
    tell(search, 1, 1.1)
    tell(search, 2, None, EndKind.DIVERGED)

    [following] = ask(search, 1)

    assert math.dist(following, (0, 0)) > 3


def test_when_the_smallest_steps_gain_nothing_it_begins_again_and_finds_another_valley() -> None:
    def two_valleys(here: Spot) -> float:
        return min(valley(here) + 1, math.dist(here, (-4, 3)) ** 2)

    search = begin()

    first, second = train(search, 18, 0, two_valleys), train(search, 42, 18, two_valleys)

    assert min(map(two_valleys, first)) == 1
    assert min(map(two_valleys, second)) < 0.5


def test_no_point_is_tried_twice_while_another_is_left() -> None:
    shape = shape_of(x=RandInt(min=1, max=3), y=Choice(values=(1, 2, 4, 8)))
    search = begin(replace(PROBLEM, shape=shape))

    tried = train(search, 14, 0)

    assert len(set(tried)) == len(set(tried[:12])) == 12


def test_points_are_where_it_begins_and_what_they_leave_open_is_as_in_the_best(tmp_path: Path) -> None:
    space = {"optimizer.lr": LogUniform(min=1e-4, max=1.0), "optimizer.weight_decay": LogUniform(min=1e-6, max=1e-2)}
    points = ({"optimizer.lr": 0.2, "optimizer.weight_decay": 1e-3}, {"optimizer.lr": 0.05})

    with open_study(tmp_path, space=space, points=points, sampler=Coordinate(noise=0)) as study:
        tried = [tuple(trial.params.values()) for trial in study.ask(6)]

    assert tried[:2] == [(0.2, 1e-3), (0.05, pytest.approx(1e-3))]
    around = [(0.4, 1e-3), (0.1, 1e-3), (0.2, 2e-3), (0.2, 5e-4)]
    assert sorted(tried[2:]) == [pytest.approx(here) for here in sorted(around)]
