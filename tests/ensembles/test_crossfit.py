from functools import partial

import numpy as np
import pytest

from hpo.ensembles import (
    Selection,
    cross_fitted,
    gains_by_skill_and_by_chance,
    greedy,
    measure,
    nlls,
    pool,
    select_and_calibrate,
)
from hpo.ensembles.arrays import LogProbs
from hpo.ensembles.folds import stratified_folds
from tests.ensembles.members import Labels, random_members

three = partial(greedy, size=3)


class Watched:
    """`greedy`, and the examples that it is shown."""

    def __init__(self) -> None:
        self.seen: list[set[float]] = []

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        self.seen.append(set(log_probs[0, :, 0].tolist()))
        return greedy(log_probs, labels, size=3)


def test_each_fold_is_predicted_by_what_the_other_folds_select() -> None:
    log_probs, labels = random_members(seed=0, num_members=20, num_examples=100)

    found = cross_fitted(log_probs, labels, three, seed=3)

    folds = stratified_folds(labels, 5, seed=3)
    for fold in range(5):
        weights = greedy(log_probs[:, folds != fold], labels[folds != fold], size=3).weights
        assert np.array_equal(found[folds == fold], pool(log_probs[:, folds == fold], weights))


def test_of_few_examples_all_select_and_what_is_scored_is_cross_fitted() -> None:
    log_probs, labels = random_members(seed=0, num_members=20, num_examples=100)

    fit = select_and_calibrate(log_probs, labels, three, seed=0)

    unseen = measure(cross_fitted(log_probs, labels, three, seed=0), labels)
    assert np.array_equal(fit.selection.weights, greedy(log_probs, labels, size=3).weights)
    assert (fit.held_out.nll, fit.held_out.accuracy) == pytest.approx((unseen.nll, unseen.accuracy))
    assert (fit.selected_on.num_examples, fit.held_out.num_examples) == (100, 100)
    assert fit.calibration.nll_before == fit.held_out.nll


def test_of_many_examples_three_tenths_are_kept_from_the_selection() -> None:
    log_probs, labels = random_members(seed=0, num_examples=2000)
    watched = Watched()

    fit = select_and_calibrate(log_probs, labels, watched, seed=0)

    [seen] = watched.seen
    inside = np.isin(log_probs[0, :, 0], list(seen))
    assert (fit.selected_on.num_examples, fit.held_out.num_examples) == (1400, 600) == (inside.sum(), (~inside).sum())
    pooled = pool(log_probs, fit.selection.weights)
    assert fit.selected_on.nll == pytest.approx(nlls(pooled[inside], labels[inside]).mean())
    assert fit.held_out.nll == pytest.approx(nlls(pooled[~inside], labels[~inside]).mean())
    assert fit.calibration.nll_before == fit.held_out.nll


def test_optimism_is_what_a_selection_looks_better_by_than_it_is() -> None:
    # 60 members that know equally little, and 60 examples: whom to pick is luck.
    fits = []
    for seed in range(5):
        members, labels = random_members(seed, num_members=60, num_examples=60, skill=0.1)
        fits.append(select_and_calibrate(members, labels, partial(greedy, size=3, min_gain=0), seed=0))

    assert [fit.optimism for fit in fits] == [fit.held_out.nll - fit.selected_on.nll for fit in fits]
    assert np.mean([fit.optimism for fit in fits]) > 0.05


@pytest.mark.parametrize("seed", range(3))
def test_members_that_complete_each_other_gain_more_than_by_chance(seed: int) -> None:
    log_probs, labels = random_members(seed, num_members=6, num_examples=400)

    by_skill, by_chance = gains_by_skill_and_by_chance(log_probs, labels, three, seed)

    assert by_skill > 0.02
    assert abs(by_chance) < 0.01


def test_a_gain_among_members_that_know_nothing_is_as_by_chance() -> None:
    log_probs, labels = random_members(seed=0, num_members=6, num_examples=400, skill=0.0)

    by_skill, by_chance = gains_by_skill_and_by_chance(log_probs, labels, three, seed=0)

    assert abs(by_skill) < 0.02
    assert abs(by_chance) < 0.02
