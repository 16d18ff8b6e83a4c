"""The shrinking box, by hand: where 64 trials are drawn that are asked for at once."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna
import pytest
from numpy.typing import NDArray
from optuna.study import StudyDirection

from hpo.records import End, EndKind
from hpo.search.proposer import Problem, Proposer
from hpo.search.samplers import Refine
from hpo.spaces import Choice, Uniform
from tests.search.opening import shape_of

PROBLEM = Problem(
    shape=shape_of(x=Uniform(min=0, max=1), y=Uniform(min=0, max=1)),
    direction=StudyDirection.MINIMIZE,
    max_epochs=9,
    seed=0,
)
Told = tuple[float, float, float | None, EndKind]
"""x, y, value, end."""
STARTUP: Sequence[Told] = ((0.2, 0.9, 0.7, EndKind.COMPLETE), (0.6, 0.7, 0.4, EndKind.COMPLETE))
MISS: Told = (0.5, 0.5, 0.8, EndKind.COMPLETE)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def begin(*told: Told, problem: Problem = PROBLEM, min_side: float = 0.05) -> Proposer:
    """After two trials of the start, and these."""
    search = Refine(num_startup=2, patience=3, min_side=min_side).begin(problem)
    for number, (x, y, value, kind) in enumerate([*STARTUP, *told]):
        search.propose({"x": x, "y": y})
        search.end(number, {9: value} if value is not None else {}, End(kind=kind, epoch=9, value=value))
    return search


def drawn(search: Proposer) -> NDArray[np.float64]:
    """[64, 2]."""
    return np.array([tuple(search.propose({}).values()) for _ in range(64)], dtype=float)


def box(*told: Told, min_side: float = 0.05) -> list[float]:
    """Both ends of x and of y, to what 64 draws tell."""
    points = drawn(begin(*told, min_side=min_side))
    return [*np.percentile(points[:, 0], (0, 100)), *np.percentile(points[:, 1], (0, 100))]


def near(*ends: float) -> object:
    return pytest.approx(ends, abs=0.06)


def test_the_first_box_is_half_of_every_range_round_the_best_and_cut_at_the_ends() -> None:
    assert box() == near(0.35, 0.85, 0.45, 0.95)
    assert box((0.1, 0.7, 0.3, EndKind.COMPLETE)) == near(0.0, 0.35, 0.45, 0.95)


def test_every_third_trial_without_a_gain_halves_it() -> None:
    assert box(MISS, MISS) == near(0.35, 0.85, 0.45, 0.95)
    assert box(*[MISS] * 3) == near(0.475, 0.725, 0.575, 0.825)
    assert box(*[MISS] * 5) == near(0.475, 0.725, 0.575, 0.825)
    assert box(*[MISS] * 6) == pytest.approx((0.5375, 0.6625, 0.6375, 0.7625), abs=0.015)


def test_a_gain_moves_it_and_the_count_begins_anew() -> None:
    gain = (0.5, 0.6, 0.3, EndKind.COMPLETE)

    assert box(MISS, MISS, gain, MISS, MISS) == near(0.25, 0.75, 0.35, 0.85)
    assert box(MISS, MISS, gain, MISS, MISS, MISS) == near(0.375, 0.625, 0.475, 0.725)


def test_it_does_not_shrink_for_ever() -> None:
    assert box(*[MISS] * 30, min_side=0.2) == pytest.approx((0.5, 0.7, 0.6, 0.8), abs=0.03)


def test_a_stopped_trial_is_a_miss_however_good_it_looked() -> None:
    stopped = (0.1, 0.1, 0.0, EndKind.STOPPED)

    assert box(*[stopped] * 3) == near(0.475, 0.725, 0.575, 0.825)


def test_a_diverged_trial_is_a_miss_and_a_failed_one_is_not() -> None:
    assert box(*[(0.6, 0.1, None, EndKind.DIVERGED)] * 3)[:2] == near(0.475, 0.725)
    assert box(*[(0.6, 0.1, None, EndKind.FAILED)] * 3)[:2] == near(0.35, 0.85)


def test_before_any_is_complete_the_best_of_the_stopped_is_the_middle() -> None:
    search = Refine(num_startup=2).begin(PROBLEM)
    for number, (x, value) in enumerate([(0.5, 0.4), (0.3, 0.6)]):
        search.propose({"x": x, "y": x})
        search.end(number, {3: value}, End(kind=EndKind.STOPPED, epoch=3, value=value))

    points = drawn(search)

    assert [points.min(), points.max()] == near(0.25, 0.75)


def test_while_all_have_diverged_it_draws_from_the_whole_space() -> None:
    search = Refine(num_startup=2).begin(PROBLEM)
    for number in range(3):
        search.propose({})
        search.end(number, {}, End(kind=EndKind.DIVERGED, epoch=1))

    points = drawn(search)

    assert [points.min(), points.max()] == near(0.0, 1.0)


def test_what_is_maximized_is_highest_in_the_middle() -> None:
    points = drawn(begin(problem=replace(PROBLEM, direction=StudyDirection.MAXIMIZE)))

    assert [*np.percentile(points[:, 0], (0, 100)), *np.percentile(points[:, 1], (0, 100))] == near(0, 0.45, 0.65, 1)


def test_steps_keep_the_next_values_and_choices_without_order_change_ever_less() -> None:
    shape = shape_of(
        kind=Choice(values=("a", "b", "c", "d", "e")), size=Choice(values=(1, 2, 4, 8, 16)), x=Uniform(min=0, max=1)
    )
    search = Refine(num_startup=1, patience=1, min_side=0.2).begin(replace(PROBLEM, shape=shape))
    for number, value in enumerate([0.1, 0.5, 0.5]):  # the side is 0.5, then 0.25, then 0.2
        search.propose({"kind": "b", "size": 4, "x": 0.5})
        search.end(number, {}, End(kind=EndKind.COMPLETE, epoch=9, value=value))

    points = [search.propose({}) for _ in range(400)]

    sizes = [sum(params["size"] == size for params in points) / 400 for size in (1, 2, 4, 8, 16)]
    assert sizes == pytest.approx([0, 0.25, 0.5, 0.25, 0], abs=0.07)
    assert sum(params["kind"] != "b" for params in points) / 400 == pytest.approx(0.2 * 4 / 5, abs=0.06)


def test_no_params_are_tried_twice_while_others_are_in_the_box() -> None:
    sizes = Choice(values=(1, 2, 4, 8, 16))
    search = Refine(num_startup=1).begin(replace(PROBLEM, shape=shape_of(x=sizes, y=sizes)))
    search.propose({"x": 4, "y": 4})
    search.end(0, {}, End(kind=EndKind.COMPLETE, epoch=9, value=1.0))

    points = [tuple(search.propose({}).values()) for _ in range(8)]

    assert {(4, 4), *points} == {(x, y) for x in (2, 4, 8) for y in (2, 4, 8)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("num_axes", "num_trials"), [(2, 50), (3, 70)])
def test_the_lowest_point_of_a_bowl_is_found(num_axes: int, num_trials: int, seed: int) -> None:
    names, bottom = "xyz"[:num_axes], np.array([0.3, 0.8, 0.55][:num_axes])
    shape = shape_of(**{name: Uniform(min=0, max=1) for name in names})
    search, costs = Refine().begin(replace(PROBLEM, shape=shape, seed=seed)), list[float]()
    for number in range(num_trials):
        point = np.array([float(value) for value in search.propose({}).values()])
        costs.append(float(((point - bottom) ** 2).sum()))
        search.end(number, {}, End(kind=EndKind.COMPLETE, epoch=9, value=costs[-1]))

    assert min(costs) < 0.03**2
    assert min(costs) < min(costs[:10]) / 4
