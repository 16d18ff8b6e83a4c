"""Costs that are kept in order as they come, against those of all sorted anew."""

import math
import random
import statistics

from hpo.scheduling.ranking import Ranking


def test_a_ranking_that_was_kept_up_is_that_of_the_same_costs_sorted_anew() -> None:
    draw = random.Random(0)
    kept, costs = Ranking(), list[float]()

    for _ in range(300):
        costs.append(draw.choice([round(draw.random(), 2), math.nan, math.inf]))
        kept.add(costs[-1])
        if draw.random() < 0.3:
            kept.drop(costs.pop(draw.randrange(len(costs))))
        sound = sorted(filter(math.isfinite, costs))

        assert (len(kept), kept.num_sound) == (len(costs), len(sound))
        assert [kept.num_better(cost) for cost in (0.25, 0.5)] == [
            sum(other < cost for other in sound) for cost in (0.25, 0.5)
        ]
        assert kept.worst_of_best(9) == (sound[:9][-1] if sound else None)


def test_what_is_not_finite_is_the_worst_of_all() -> None:
    ranking = Ranking([math.nan, 0.2, -math.inf, 0.1, math.inf])

    assert ranking.num_better(math.nan) == ranking.num_better(math.inf) == ranking.num_sound == 2
    assert ranking.worst_of_best(5) == 0.2
    assert ranking.median == math.inf


def test_the_median_is_that_of_statistics_and_infinite_of_nothing() -> None:
    costs = [0.5, 0.1, 0.9, 0.3]

    assert Ranking(costs).median == statistics.median(costs)
    assert Ranking().median == math.inf
    assert Ranking([math.nan]).worst_of_best(1) is None
