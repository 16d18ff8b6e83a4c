"""Crowds of good trials at the ends of ranges, against SciPy's binomial test."""

import numpy as np
import pytest
from scipy.stats import binomtest

from hpo.records import End, EndKind, TrialRecord
from hpo.results.analysis import crowds
from hpo.results.analysis.boundary import position
from hpo.spaces import parse_space

SPACE = parse_space({"lr": "loguniform(1e-3, 1)", "layers": "randint(1, 3)", "kind": "choice(x, y)"})
NUM = 100


def trial(number: int, lr: float, kind: EndKind = EndKind.COMPLETE, layers: int = 2) -> TrialRecord:
    value = None if kind is EndKind.DIVERGED else 0.5
    return TrialRecord(
        trial_id=number,
        params={"lr": lr, "layers": layers, "kind": "x"},
        values={} if value is None else {1: value},
        end=End(kind=kind, epoch=1, value=value),
    )


def ranked(best: list[float], others: list[float] | None = None) -> list[TrialRecord]:
    """Those rates first, and behind them others over all of the range."""
    spread = np.geomspace(1e-3, 1, NUM - len(best)).tolist() if others is None else others
    return [trial(number, lr) for number, lr in enumerate([*best, *spread])]


def test_a_crowd_is_told_with_the_chance_of_the_binomial_test_and_a_bound_three_times_as_far() -> None:
    best = [0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.55, 0.01, 0.02, 0.03]

    [found] = crowds(ranked(best), SPACE)

    assert (found.path, found.end, found.num_near, found.num_top) == ("lr", "high", 7, 10)
    assert found.chance == pytest.approx(binomtest(7, 10, 0.1, alternative="greater").pvalue)
    assert (found.proposed, found.is_unstable) == (3.0, False)


def test_the_low_end_is_told_too() -> None:
    [found] = crowds(ranked([0.001, 0.0011, 0.0012, 0.0013, 0.0014, *[0.1] * 5]), SPACE)

    assert (found.end, found.num_near, found.proposed) == ("low", 5, 0.00033)


def test_good_values_all_over_the_range_are_no_crowd() -> None:
    assert crowds(ranked(np.geomspace(1e-3, 1, 10).tolist()), SPACE) == []


def test_a_third_of_three_values_is_no_crowd_at_either_end() -> None:
    trials = [trial(number, 0.03, layers=1 if number < 3 else 2) for number in range(NUM)]

    found = [each for each in crowds(trials, SPACE) if each.path == "layers"]

    assert found == []


def test_where_many_diverge_the_end_is_that_of_what_trains() -> None:
    good, bad = ranked([0.9] * 10), [trial(NUM + number, 0.9, EndKind.DIVERGED) for number in range(20)]

    [found] = crowds([*good, *bad], SPACE)

    assert found.is_unstable


def test_of_a_few_trials_nothing_is_said() -> None:
    assert crowds(ranked([0.9] * 5, [0.9] * 4), SPACE) == []


@pytest.mark.parametrize(("value", "place"), [(1e-3, 0.0), (1.0, 1.0), (10**-1.5, 0.5)])
def test_places_are_on_the_scale_of_the_domain(value: float, place: float) -> None:
    assert position(SPACE["lr"], value) == pytest.approx(place)
