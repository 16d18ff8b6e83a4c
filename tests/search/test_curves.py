"""Search by a model of learning curves."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from optuna.study import StudyDirection

from hpo.records import End, EndKind
from hpo.search.curves import CurveSearch
from hpo.search.distributions import Stored
from hpo.search.proposer import Problem
from hpo.search.shape import Shape
from hpo.spaces import Domain, LogUniform, Uniform
from hpo.spaces.conditions import Conditions

MAX_EPOCHS = 9
SPACE: Mapping[str, Domain] = {"x": Uniform(min=0.0, max=1.0), "y": LogUniform(min=1e-4, max=1.0)}
PROBLEM = Problem(
    shape=Shape(SPACE, Conditions(SPACE)),
    direction=StudyDirection.MAXIMIZE,
    max_epochs=MAX_EPOCHS,
    seed=0,
)


def accuracy(params: dict[str, Stored], epoch: int) -> float:
    """Best at x = 0.7 and y = 0.01; every curve rises."""
    gap = (float(params["x"]) - 0.7) ** 2 + (np.log10(float(params["y"])) + 2) ** 2 / 16
    return float(1 - gap - 0.3 / epoch)


def begin(num_startup: int = 4, problem: Problem = PROBLEM) -> CurveSearch:
    return CurveSearch(problem, num_startup, by_curves=True)


def train(search: CurveSearch, number: int, params: dict[str, Stored], epochs: range) -> None:
    for epoch in epochs:
        search.report(number, epoch, accuracy(params, epoch))
    if epochs.stop == MAX_EPOCHS + 1:
        value = accuracy(params, MAX_EPOCHS)
        search.end(number, {}, End(kind=EndKind.COMPLETE, epoch=MAX_EPOCHS, value=value))


def test_the_first_four_trials_lie_in_different_quarters_of_every_range() -> None:
    search = begin()

    first = [search.propose({}) for _ in range(4)]

    places = np.array([(float(params["x"]), np.log10(float(params["y"])) / 4 + 1) for params in first])
    assert [sorted(np.floor(4 * axis)) for axis in places.T] == [[0, 1, 2, 3]] * 2


def test_trials_that_were_trained_for_an_epoch_only_lead_to_the_best_region() -> None:
    search = begin()
    for number in range(16):
        params = search.propose({})
        train(search, number, params, range(1, 2))
        search.end(number, {}, End(kind=EndKind.STOPPED, epoch=1, value=accuracy(params, 1)))

    proposal = search.propose({})

    assert accuracy(proposal, MAX_EPOCHS) > 0.98 - 0.3 / MAX_EPOCHS


def test_what_is_minimized_is_searched_for_its_least() -> None:
    search, tried = begin(problem=replace(PROBLEM, direction=StudyDirection.MINIMIZE)), list[float]()
    for number in range(16):
        tried.append(accuracy(search.propose({}), 9))
        search.end(number, {9: -tried[-1]}, End(kind=EndKind.COMPLETE, epoch=9, value=-tried[-1]))

    assert max(tried) > 0.99 - 0.3 / MAX_EPOCHS


def test_of_two_waiting_trials_the_better_promises_more() -> None:
    search = begin(num_startup=2)
    for number, point in enumerate([{"x": 0.7, "y": 0.01}, {"x": 0.1, "y": 0.9}, {"x": 0.3, "y": 0.3}]):
        params = search.propose(point)
        train(search, number, params, range(1, 4))

    gains, _ = search.gains({0: 3, 1: 3, 2: 3})

    assert gains[0] > gains[2] > gains[1]


def test_what_is_left_to_train_divides_what_a_trial_promises() -> None:
    search = begin(num_startup=2)
    for number, point in enumerate([{"x": 0.7, "y": 0.01}, {"x": 0.2, "y": 0.5}]):
        train(search, number, search.propose(point), range(1, 4))

    (one_left, _), (six_left, _) = search.gains({0: 8, 1: 3}), search.gains({0: 3, 1: 3})

    assert one_left[0] - six_left[0] == pytest.approx(np.log(6))
    assert one_left[1] == pytest.approx(six_left[1])


def test_a_hopeless_field_promises_less_than_a_new_trial_and_a_leader_more() -> None:
    search = begin(num_startup=2)
    points = [{"x": 0.0, "y": 1e-4}, {"x": 0.05, "y": 2e-4}, {"x": 0.1, "y": 1e-4}, {"x": 0.72, "y": 0.012}]
    for number, point in enumerate(points):
        train(search, number, search.propose(point), range(1, 7) if number == 3 else range(1, 2))

    gains, of_new = search.gains({0: 1, 1: 1, 2: 1, 3: 6})

    assert max(gains[0], gains[1], gains[2]) < of_new < gains[3]


def test_before_there_is_a_model_a_new_trial_promises_most() -> None:
    search = begin(num_startup=4)
    train(search, 0, search.propose({}), range(1, 2))

    gains, of_new = search.gains({0: 1})

    assert of_new > gains[0]


def test_a_batch_of_proposals_is_spread_out() -> None:
    search = begin()
    for number in range(6):
        train(search, number, search.propose({}), range(1, 4))

    batch = [search.propose({}) for _ in range(8)]

    places = np.array([(float(params["x"]), np.log10(float(params["y"])) / 4 + 1) for params in batch])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(8, 1)]
    assert np.median(gaps) > 0.05


def test_a_loss_without_bounds_does_not_blind_the_model() -> None:
    search, tried = begin(), list[float]()
    for number in range(16):
        params = search.propose({})
        tried.append(-1e30 if float(params["x"]) < 0.3 else accuracy(params, 9))
        search.end(number, {9: tried[-1]}, End(kind=EndKind.COMPLETE, epoch=9, value=tried[-1]))

    assert max(tried[:4]) < 0.95 - 0.3 / MAX_EPOCHS
    assert max(tried) > 0.99 - 0.3 / MAX_EPOCHS


def test_thousands_of_measurements_are_thinned_and_the_best_region_is_still_known() -> None:
    search = begin()
    rng = np.random.default_rng(0)
    for number in range(1500):
        params: dict[str, Stored] = {"x": float(rng.random()), "y": float(10 ** rng.uniform(-4, 0))}
        search.add(params)
        search.end(number, {9: accuracy(params, 9)}, End(kind=EndKind.COMPLETE, epoch=9, value=accuracy(params, 9)))

    proposal = search.propose({})

    assert accuracy(proposal, MAX_EPOCHS) > 0.99 - 0.3 / MAX_EPOCHS
