"""Proposals for a whole cohort, none of which is told before the next is asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import optuna
import pytest
from numpy.typing import NDArray

from hpo.records import End, EndKind, Goal
from hpo.search.distributions import Stored
from hpo.search.proposer import Proposer
from hpo.search.samplers import Cmaes, Coordinate, Curves, Gp, Qmc, Random, Refine, Sampler, Tpe
from hpo.spaces import Domain, Uniform
from tests.search.opening import SEARCH

NAMES = ("a", "b", "c", "d")
CUBE: Mapping[str, Domain] = dict.fromkeys(NAMES, Uniform(min=0.0, max=1.0))
BEST = np.array([0.3, 0.4, 0.5, 0.6])
NUM_TOLD, NUM_ASKED = 16, 16

Places = NDArray[np.float64]


@pytest.mark.parametrize(
    "sampler",
    [Random(), Qmc(), Tpe(), Gp(), Cmaes(), Curves(), Coordinate(), Refine()],
    ids=lambda sampler: sampler.kind,
)
def test_a_cohort_is_about_as_spread_out_as_trials_of_which_each_was_told(sampler: Sampler) -> None:
    one_by_one = list(told(begun(sampler), NUM_TOLD + NUM_ASKED))[NUM_TOLD:]
    proposer = begun(sampler)
    list(told(proposer, NUM_TOLD))

    cohort = [proposer.propose({}) for _ in range(NUM_ASKED)]

    nearest = distances_to_nearest(cohort)
    assert nearest.min() > 1e-3
    assert nearest.mean() > 0.7 * distances_to_nearest(one_by_one).mean()


@pytest.mark.parametrize("sampler", [Gp(), Curves()], ids=lambda sampler: sampler.kind)
def test_where_the_best_is_known_a_model_looks_a_hundredth_away_from_what_it_knows(sampler: Sampler) -> None:
    proposer = begun(sampler)
    trials = list(told(proposer, 32))

    trials += [proposer.propose({}) for _ in range(NUM_ASKED)]

    assert np.linalg.norm(places(trials) - BEST, axis=1).min() < 0.02
    assert distances_to_nearest(trials).min() >= 0.01


def begun(sampler: Sampler) -> Proposer:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = replace(SEARCH, space=CUBE, sampler=sampler, metric="val_loss", goal=Goal.MINIMIZE)
    return sampler.begin(search.problem)


def told(proposer: Proposer, num: int) -> Iterator[dict[str, Stored]]:
    """Proposals, each of which is complete before the next."""
    for number in range(num):
        params = proposer.propose({})
        cost = float(((places([params])[0] - BEST) ** 2).sum())
        proposer.end(number, {27: cost}, End(kind=EndKind.COMPLETE, epoch=27, value=cost))
        yield params


def places(trials: list[dict[str, Stored]]) -> Places:
    return np.array([[params[name] for name in NAMES] for params in trials], dtype=float)


def distances_to_nearest(trials: list[dict[str, Stored]]) -> NDArray[np.float64]:
    points = places(trials)
    gaps = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest: NDArray[np.float64] = gaps.min(1)
    return nearest
