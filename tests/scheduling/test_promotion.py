"""Asynchronous successive halving in its promotion form, against Algorithm 2 of Li et al. (2020) in plain dicts."""

import math
import random

import pytest

from hpo.scheduling import Asha
from hpo.scheduling.line import Line
from hpo.scheduling.packing import Standing
from hpo.scheduling.ranking import Ranking

PROMOTION = Asha(form="promotion", min_epochs=1, eta=3)
MAX_EPOCHS = 27


class Algorithm2:
    """`get_job`, and the rungs that it reads, as the paper writes them: rung k stands for eta**k epochs."""

    def __init__(self, eta: int, num_rungs: int) -> None:
        self.eta = eta
        self.losses: dict[int, dict[int, float]] = {k: {} for k in range(num_rungs)}
        self.promoted: dict[int, set[int]] = {k: set() for k in range(num_rungs)}

    def get_job(self) -> tuple[int, int] | None:
        """A trial and the rung that it is promoted to; none: a new trial."""
        for k in range(len(self.losses) - 2, -1, -1):
            by_loss = sorted(self.losses[k], key=lambda trial: self.losses[k][trial])
            top = by_loss[: math.floor(len(self.losses[k]) / self.eta)]
            promotable = [trial for trial in top if trial not in self.promoted[k]]
            if promotable:
                self.promoted[k].add(promotable[0])
                return promotable[0], k + 1
        return None


def next_job(line: Line, scheduler: Asha) -> tuple[int, int] | None:
    """A trial and the epoch that it is promoted to; none: a new trial."""
    chosen = scheduler.choose(line.costs, line.waiting)
    if not chosen:
        return None
    (standing,) = line.take(chosen[:1])
    return standing.trial_id, line.rung_above(standing.epoch)


def arrive(line: Line, rung: int, trial_id: int, cost: float) -> None:
    """As the driver does it."""
    verdict = line.judge(rung, {trial_id: [cost]})[trial_id]
    if verdict.continues and rung < MAX_EPOCHS:
        line.join(Standing(trial_id=trial_id, epoch=rung))


@pytest.mark.parametrize("eta", [2, 3])
def test_promotion_is_algorithm_2_on_random_orders_of_arrival(eta: int) -> None:
    scheduler = Asha(form="promotion", eta=eta)
    rungs = scheduler.rungs(MAX_EPOCHS)
    for seed in range(100):
        draw = random.Random(seed)
        paper, line = Algorithm2(eta, len(rungs)), Line(scheduler, MAX_EPOCHS)
        running: list[tuple[int, int]] = []
        num_new = num_promoted = 0
        for _ in range(150):
            if len(running) < 4 and draw.random() < 0.6:
                expected, got = paper.get_job(), next_job(line, scheduler)
                assert got == (expected and (expected[0], rungs[expected[1]])), f"seed {seed}"
                running.append(expected or (num_new, 0))
                num_new += expected is None
                num_promoted += expected is not None
            elif running:
                trial_id, k = running.pop(draw.randrange(len(running)))
                paper.losses[k][trial_id] = loss = draw.random()
                arrive(line, rungs[k], trial_id, loss)
        assert num_promoted > 5


@pytest.mark.parametrize(
    ("costs", "waiting", "chosen"),
    [
        ({1: {0: 0.2, 1: 0.1}}, {0: 1, 1: 1}, []),
        ({1: {0: 0.2, 1: 0.1, 2: 0.3}}, {0: 1, 1: 1, 2: 1}, [1]),
        ({1: {0: 0.2, 1: 0.1, 2: 0.3}}, {0: 1, 2: 1}, []),
        ({1: {0: 0.6, 1: 0.5, 2: 0.4, 3: 0.3, 4: 0.2, 5: 0.1}}, dict.fromkeys(range(5), 1), [4]),
        ({1: {0: 0.6, 1: 0.5, 2: 0.4, 3: 0.3, 4: 0.2, 5: 0.1}}, dict.fromkeys(range(6), 1), [5, 4]),
        ({1: {9: 0.0, 8: 0.1, 7: 0.2}, 3: {0: 0.9, 1: 0.8, 2: 0.7}}, {9: 1, 8: 1, 7: 1, 0: 3, 1: 3, 2: 3}, [2]),
        ({1: {2: 0.1, 1: 0.1, 0: 0.3}}, {0: 1, 1: 1, 2: 1}, [1]),
        ({}, {}, []),
    ],
    ids=[
        "too few to tell",
        "the best of three",
        "it was promoted before",
        "one of two was promoted before",
        "two of six",
        "the deepest rung first",
        "of equals, the older",
        "nobody",
    ],
)
def test_the_best_one_in_eta_that_still_waits_is_promoted(
    costs: dict[int, dict[int, float]], waiting: dict[int, int], chosen: list[int]
) -> None:
    assert PROMOTION.choose(costs, waiting) == chosen


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_stopped_at_once_and_never_promoted(cost: float) -> None:
    assert not PROMOTION.decide(cost, Ranking([cost, 0.5, 0.6])).continues
    assert PROMOTION.choose({1: {0: cost, 1: cost, 2: cost}}, {0: 1, 1: 1, 2: 1}) == []


def test_whoever_is_sound_waits_and_is_told_where_it_stands() -> None:
    worst = PROMOTION.decide(0.4, Ranking([0.4, 0.1, 0.2, 0.3]))
    early = PROMOTION.decide(0.4, Ranking([0.4, 0.5]))

    assert worst.continues
    assert (worst.rank, worst.num_seen, worst.cutoff) == (4, 4, 0.1)
    assert (early.rank, early.num_seen, early.cutoff) == (1, 2, -math.inf)
