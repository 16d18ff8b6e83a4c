"""Pairs that make up for each other: laws evaluated, and valleys dug by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from hpo.records import Goal, Params
from hpo.results.report.isoeffect import PAIRS, Isoeffect, flatness, isoeffects
from hpo.results.report.points import Mark, Point

UP, DOWN = Goal.MAXIMIZE, Goal.MINIMIZE


def valley(degrees: float, along: float, across: float, num: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Places, and costs whose least curvature, `along`, lies so many degrees above the first axis."""
    places = np.random.default_rng(0).uniform(-2, 2, (num, 2)) + np.array([-3.0, 1.0])
    turn = math.radians(degrees)
    u = (places - [-2.5, 1.3]) @ [math.cos(turn), math.sin(turn)]
    v = (places - [-2.5, 1.3]) @ [-math.sin(turn), math.cos(turn)]
    return places, 7 + along * u**2 / 2 + across * v**2 / 2


def point(trial_id: int, value: float, mark: Mark = Mark.COMPLETE, **params: float | str) -> Point:
    names = {"lr": "optimizer.lr", "decay": "optimizer.weight_decay", "momentum": "optimizer.momentum"}
    names |= {"kind": "optimizer.kind"}
    given: Params = {names.get(name, name): setting for name, setting in params.items()}
    return Point(trial_id=trial_id, mark=mark, value=value, params=given)


def of(found: list[Isoeffect]) -> list[str]:
    return [each.pair.name for each in found]


@pytest.mark.parametrize(
    ("degrees", "slope", "angle"),
    [(-45, -1.0, 0), (-25, -1.0, 20), (45, -1.0, 90), (45, 1.0, 0), (math.degrees(math.atan(2)), 2.0, 0), (0, 1.0, 45)],
)
def test_the_angle_is_that_of_the_valley_that_was_dug(degrees: float, slope: float, angle: float) -> None:
    places, costs = valley(degrees, along=0.02, across=0.5)

    found = flatness(places, costs, slope)

    assert found is not None
    assert found.angle == pytest.approx(angle, abs=1e-4)
    assert found.ratio == pytest.approx(0.04)
    assert found.num_trials == 30


def test_a_floor_that_falls_away_has_a_negative_ratio() -> None:
    found = flatness(*valley(-45, along=-0.1, across=0.5), slope=-1.0)

    assert found is not None
    assert found.ratio == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("places", "costs"),
    [
        valley(-45, along=0.1, across=0.5, num=18),  # 9 are fitted
        valley(-45, along=-0.1, across=-0.5),
        (np.stack([np.linspace(0, 1, 40)] * 2, axis=1), np.linspace(0, 1, 40) ** 2),
        (np.stack([np.linspace(0, 1, 40), np.arange(40) % 2.0], axis=1), np.linspace(0, 1, 40) ** 2),
    ],
    ids=["too few", "a hill", "on a line", "two values"],
)
def test_what_has_no_valley_has_no_flatness(places: np.ndarray, costs: np.ndarray) -> None:
    assert flatness(places, costs, slope=-1.0) is None


LAWS: dict[tuple[str, str], Callable[[float, float], float]] = {
    ("optimizer.weight_decay", "sgd"): lambda lr, decay: lr * decay / (1 - 0.9),
    ("optimizer.weight_decay", "adamw"): lambda lr, decay: lr * decay,
    ("optimizer.weight_decay", "muon"): lambda lr, decay: lr * decay,
    ("batch_size", "sgd"): lambda lr, batch: lr / (batch * (1 - 0.9)),
    **{("batch_size", kind): lambda lr, batch: lr / math.sqrt(batch) for kind in ("adam", "adamw", "radam", "nadam")},
    ("1 - optimizer.momentum", "sgd"): lambda lr, rest: lr / (64 * rest),
}


@pytest.mark.parametrize(("name", "kind"), list(LAWS))
def test_along_an_isoline_the_law_of_its_optimizer_holds(name: str, kind: str) -> None:
    [pair] = [pair for pair in PAIRS if pair.name == name]

    slope = pair.slopes[kind]

    assert LAWS[name, kind](0.3, 2e-3 * 3**slope) == pytest.approx(LAWS[name, kind](0.1, 2e-3))
    assert set(pair.slopes) == set(pair.laws) == {known for law, known in LAWS if law == name}


def test_pairs_are_those_of_which_both_are_searched() -> None:
    points = [point(n, n / 10, lr=10.0**-n, decay=10.0**-n, momentum=0.9, batch_size=2**n) for n in range(8)]

    assert of(isoeffects(points, "sgd", UP)) == ["optimizer.weight_decay", "batch_size"]
    assert of(isoeffects(points[:7], "sgd", UP)) == []
    assert of(isoeffects([], "sgd", UP)) == []


def test_momentum_is_shown_as_what_it_is_below_one() -> None:
    points = [point(n, 0.5, lr=0.1 * (n + 1), momentum=1 - 10.0**-n) for n in range(1, 9)]

    [found] = isoeffects(points, "sgd", UP)

    assert found.pair.name == "1 - optimizer.momentum"
    assert found.places[:, 1] == pytest.approx(-np.arange(1, 9))


def test_trials_without_decay_have_no_place_on_a_logarithmic_scale() -> None:
    points = [point(n, 0.5, lr=10.0**-n, decay=0.0 if n == 0 else 10.0**-n) for n in range(9)]

    [found] = isoeffects(points, "sgd", UP)

    assert len(found.places) == 8


@pytest.mark.parametrize(("goal", "kind", "slope"), [(UP, "adamw", 2.0), (DOWN, "sgd", 1.0)])
def test_the_optimizer_of_the_best_is_shown_alone(goal: Goal, kind: str, slope: float) -> None:
    own = [("sgd", 0.1), ("adamw", 0.9)]
    points = [point(n, value, lr=10.0**-n, batch_size=2**n, kind=name) for n in range(8) for name, value in own]

    [found] = isoeffects(points, None, goal)

    assert (len(found.values), found.slope) == (8, slope)


def test_the_best_went_to_the_end_where_anybody_did() -> None:
    points = [point(n, n / 10, Mark.STOPPED, lr=10.0**-n, decay=10.0**-n) for n in range(8)]

    [of_stopped] = isoeffects(points, "rmsprop", UP)
    [of_all] = isoeffects([*points, point(8, 0.2, lr=0.5, decay=0.5)], "rmsprop", UP)

    assert (of_stopped.best, of_all.best) == (7, 8)
    assert (of_all.slope, of_all.law, of_all.flatness) == (None, None, None)


def test_the_valley_is_that_of_the_trials_that_went_to_the_end() -> None:
    places, costs = valley(-45, along=0.02, across=0.5)
    rows = list(zip(places, costs, strict=True))
    good = [point(n, cost, lr=10**x, decay=10**y) for n, ((x, y), cost) in enumerate(rows)]
    early = [point(n, 0.0, Mark.STOPPED, lr=10**x, decay=10**y) for n, ((x, y), _) in enumerate(rows)]

    [found] = isoeffects([*good, *early], "sgd", DOWN)

    assert found.flatness is not None
    assert found.flatness.angle == pytest.approx(0, abs=1e-3)
    assert found.flatness.num_trials == 30
