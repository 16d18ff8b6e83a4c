"""How far apart the proposals for one cohort lie, of which none is told before the next is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.records import End, EndKind, Goal
from hpo.search.distributions import Stored
from hpo.search.proposer import Proposer
from hpo.search.samplers import Sampler
from hpo.search.terms import Search
from hpo.spaces import parse_space

NAMES = ("a", "b", "c", "d")
SPACE = parse_space(dict.fromkeys(NAMES, "uniform(0, 1)"))
BEST = np.array([0.3, 0.4, 0.5, 0.6])
NUM_IN_BATCH = 16
NEAR = 1e-3
"""Of the width of the cube: below lies a near-duplicate."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of 16 proposals in a unit cube of four dimensions."""

    num_near: float
    """Pairs of near-duplicates."""
    to_nearest: float
    """Mean distance of a proposal to the nearest other."""


def spread_of_batch(sampler: Sampler, num_told: int, seed: int) -> Spread:
    """Of proposals, each of which knows that those before it run."""
    proposer = begun(sampler, seed)
    list(told(proposer, num_told))
    return spread([proposer.propose({}) for _ in range(NUM_IN_BATCH)])


def spread_one_by_one(sampler: Sampler, num_told: int, seed: int) -> Spread:
    """Of proposals, each of which is told before the next."""
    return spread(list(told(begun(sampler, seed), num_told + NUM_IN_BATCH))[num_told:])


def begun(sampler: Sampler, seed: int) -> Proposer:
    search = Search(space=SPACE, metric="loss", goal=Goal.MINIMIZE, max_epochs=9, sampler=sampler, seed=seed)
    return sampler.begin(search.problem)


def told(proposer: Proposer, num: int) -> Iterator[dict[str, Stored]]:
    for number in range(num):
        params = proposer.propose({})
        loss = float(((places([params])[0] - BEST) ** 2).sum())
        proposer.report(number, 9, loss)
        proposer.end(number, {9: loss}, End(kind=EndKind.COMPLETE, epoch=9, value=loss))
        yield params


def spread(proposals: list[dict[str, Stored]]) -> Spread:
    points = places(proposals)
    gaps = np.linalg.norm(points[:, None] - points, axis=2)
    num_near = int((gaps[np.triu_indices(len(gaps), 1)] < NEAR).sum())
    np.fill_diagonal(gaps, np.inf)
    return Spread(num_near=num_near, to_nearest=float(gaps.min(1).mean()))


def places(proposals: list[dict[str, Stored]]) -> NDArray[np.float64]:
    return np.array([[params[name] for name in NAMES] for params in proposals], dtype=float)
