import itertools
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from hpo.ensembles import greedy, measure, top
from hpo.ensembles.intervals import standard_error
from hpo.ensembles.selection import without_crumbs
from hpo.errors import EnsembleError
from tests.ensembles.members import Array, Labels, mean_nll, random_members

SEEDS = range(8)


def naive_greedy(log_probs: Array, labels: Labels, size: int, num_picks: int) -> list[int]:
    """Of all bags that hold one more than the last, the one whose mean probabilities have the lowest NLL; the best."""
    path: list[list[int]] = [[]]
    for length in range(1, num_picks + 1):
        bags = [
            list(found)
            for found in itertools.combinations_with_replacement(range(len(log_probs)), length)
            if not Counter(path[-1]) - Counter(found) and len(set(found)) <= size
        ]
        path.append(min(bags, key=lambda bag: mean_nll(np.exp(log_probs)[bag].mean(0), labels)))
    nlls = [mean_nll(np.exp(log_probs)[bag].mean(0), labels) for bag in path[1:]]
    return next(bag for bag, nll in zip(path[1:], nlls, strict=True) if nll < min(nlls) + 1e-12)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_greedy_equals_a_search_through_all_bags_that_extend_the_last(seed: int, size: int) -> None:
    log_probs, labels = random_members(seed)

    selection = greedy(log_probs, labels, size, num_picks=6, min_gain=0)

    bag = naive_greedy(log_probs, labels, size, num_picks=6)
    assert tuple(sorted(step.member for step in selection.path)) == tuple(bag)
    assert selection.weights == pytest.approx(np.array([bag.count(member) for member in range(4)]) / len(bag))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_of_all_bags_is_hardly_better_than_greedy(seed: int) -> None:
    log_probs, labels = random_members(seed, num_members=5)
    probs = np.exp(log_probs)

    selection = greedy(log_probs, labels, size=5, num_picks=6, min_gain=0)

    bags = [list(bag) for k in range(1, 7) for bag in itertools.combinations_with_replacement(range(5), k)]
    best = min(mean_nll(probs[bag].mean(0), labels) for bag in bags)
    assert best - 1e-12 <= selection.path[-1].nll < best + 0.01


def test_the_path_tells_what_each_ensemble_does() -> None:
    log_probs, labels = random_members(seed=1)

    path = greedy(log_probs, labels, size=3, num_picks=6, min_gain=0).path

    assert len(path) > 2
    picks = [step.member for step in path]
    for number, step in enumerate(path, start=1):
        measured = measure(np.log(np.exp(log_probs)[picks[:number]].mean(0)), labels)
        assert (step.nll, step.accuracy) == pytest.approx((measured.nll, measured.accuracy))
        assert step.num_members == len(set(picks[:number]))
    assert (path[0].gain, path[0].standard_error) == (None, None)
    assert path[1].gain == pytest.approx(path[0].nll - path[1].nll)


@pytest.mark.parametrize("min_gain", [0.5, 1.0, 1.5])
def test_greedy_selects_the_shortest_that_no_other_beats_by_a_standard_error(min_gain: float) -> None:
    log_probs, labels = random_members(seed=1)
    probs = np.exp(log_probs)[:, np.arange(60), labels]

    path = greedy(log_probs, labels, size=4, num_picks=20, min_gain=min_gain).path

    picks = [step.member for step in greedy(log_probs, labels, size=4, num_picks=20, min_gain=0).path]
    best = probs[picks].mean(0)
    gains = [np.log(best / probs[picks[:number]].mean(0)) for number in range(1, len(picks) + 1)]
    too_short = [gain.mean() > min_gain * gain.std() / np.sqrt(60) for gain in gains]
    assert len(path) == too_short.index(False) + 1
    assert 1 < len(path) < len(picks)


def test_the_standard_error_is_the_spread_of_means_of_examples_drawn_anew() -> None:
    generator = np.random.default_rng(0)
    values = generator.exponential(size=200)

    drawn = [generator.choice(values, size=200).mean() for _ in range(4000)]

    assert standard_error(values) == pytest.approx(np.std(drawn), rel=0.05)


def test_of_members_that_are_alike_the_first_is_picked_once_more() -> None:
    log_probs, labels = random_members(seed=2, num_members=2)
    twice = np.repeat(log_probs, 2, axis=0)

    selection = greedy(twice, labels, size=4, min_gain=0)

    assert selection.members == [0, 2]


def test_a_copy_of_the_best_gains_nothing() -> None:
    log_probs, labels = random_members(seed=2, num_members=1)

    assert len(greedy(np.repeat(log_probs, 3, axis=0), labels, size=3, min_gain=0).path) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_members_that_predict_no_numbers_are_never_picked(bad: float) -> None:
    log_probs, labels = random_members(seed=3)
    spoiled = np.insert(log_probs, 1, log_probs[0], axis=0)
    spoiled[1, 5] = bad

    for select in (greedy, top):
        found, expected = select(spoiled, labels, 4), select(log_probs, labels, 4)

        assert found.weights[1] == 0
        assert np.array_equal(np.delete(found.weights, 1), expected.weights)


def test_a_member_that_rules_out_what_is_true_is_never_picked() -> None:
    log_probs, labels = random_members(seed=3, num_members=2)
    log_probs[0, 0, labels[0]] = -np.inf

    assert greedy(log_probs, labels, size=2).members == [1]


def test_a_pool_without_a_usable_member_is_refused() -> None:
    with pytest.raises(EnsembleError, match="but of 2 there is none. Wait for trials that have not diverged"):
        greedy(np.full((2, 3, 2), np.nan), np.array([0, 1, 0]), size=2)


def test_an_ensemble_of_no_members_is_refused() -> None:
    log_probs, labels = random_members(seed=0)

    with pytest.raises(EnsembleError, match="must have at least 1 member, but its size is to be 0"):
        greedy(log_probs, labels, size=0)


def test_predictions_in_float16_select_the_same() -> None:
    log_probs, labels = random_members(seed=4, num_examples=400)

    found = greedy(log_probs.astype(np.float16), labels, size=3)

    assert np.array_equal(found.weights, greedy(log_probs, labels, size=3).weights)


@pytest.mark.parametrize("seed", SEEDS)
def test_top_weighs_those_of_lowest_nll_alike(seed: int) -> None:
    log_probs, labels = random_members(seed, num_members=6)

    selection = top(log_probs, labels, size=3)

    nll = [mean_nll(np.exp(member), labels) for member in log_probs]
    assert selection.members == sorted(np.argsort(nll)[:3].tolist())
    assert selection.weights[selection.members] == pytest.approx(1 / 3)
    assert [step.num_members for step in selection.path] == [1, 2, 3]
    assert top(log_probs, labels, size=99).weights == pytest.approx(1 / 6)


def test_small_weights_are_dropped() -> None:
    assert without_crumbs(np.array([0.5, 0.019, 0.481])) == pytest.approx(np.array([0.5, 0, 0.481]) / 0.981)
    assert without_crumbs(np.full(100, 0.01)) == pytest.approx(0.01)


def test_greedy_picks_of_the_members_of_lowest_nll() -> None:
    log_probs, labels = random_members(seed=5, num_members=8, num_examples=200)
    best = top(log_probs, labels, size=3).members

    found = greedy(log_probs, labels, size=8, min_gain=0, num_considered=3)

    assert found.members == best
    assert len(greedy(log_probs, labels, size=8, min_gain=0).members) > 3


@pytest.mark.slow
def test_a_step_over_200_members_and_10_000_examples_takes_no_longer_than_to_try_each_plainly() -> None:
    log_probs, labels = random_members(seed=0, num_members=200, num_examples=10_000, num_classes=10)
    halves = log_probs.astype(np.float16)

    def seconds(work: Callable[[], object]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    def pick(num_picks: int) -> float:
        return seconds(lambda: greedy(halves, labels, size=200, num_picks=num_picks, num_considered=200))

    def try_each() -> list[float]:
        probs = [np.exp(member.astype(np.float32)) for member in halves]
        return [float(-np.log((probs[0] + each) / 2)[np.arange(10_000), labels].mean()) for each in probs]

    pick(1)

    assert (pick(11) - pick(1)) / 10 < 2 * seconds(try_each)
