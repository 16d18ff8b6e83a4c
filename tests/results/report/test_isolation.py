"""Buckets of a param, against every resample there is and numbers worked by hand."""

import itertools

import numpy as np
import pytest

from hpo.records import Goal
from hpo.results.report.isolation import isolate
from hpo.spaces import Choice, Domain, LogUniform, Ordinal, QRandInt, QUniform, RandInt, Uniform

UP, DOWN = Goal.MAXIMIZE, Goal.MINIMIZE


def test_a_bucket_is_worth_the_mean_of_its_best_three() -> None:
    domain = Choice(values=("relu", "tanh", "gelu"))
    trials = [("tanh", 0.1), ("tanh", 0.9), ("tanh", 0.8), ("tanh", 0.7), ("relu", 0.5), ("relu", 0.3)]

    relu, tanh = isolate(domain, trials, UP)

    assert [(bucket.label, bucket.num_trials) for bucket in (relu, tanh)] == [("relu", 2), ("tanh", 4)]
    assert [bucket.mean for bucket in (relu, tanh)] == pytest.approx([0.4, 0.8])
    assert [bucket.mean for bucket in isolate(domain, trials, DOWN)] == pytest.approx([0.4, (0.1 + 0.7 + 0.8) / 3])


@pytest.mark.parametrize("goal", [UP, DOWN])
def test_its_interval_is_that_of_all_resamples(goal: Goal) -> None:
    values = np.random.default_rng(4).normal(size=6).tolist()
    sign = -1 if goal is UP else 1
    resamples = itertools.product(values, repeat=6)  # 46 656
    exact = [float(np.mean(sorted(resample, key=lambda value: sign * value)[:3])) for resample in resamples]

    [bucket] = isolate(Choice(values=(1, 2)), [(1, value) for value in values], goal)

    assert [bucket.low, bucket.high] == pytest.approx(np.quantile(exact, [0.025, 0.975]).tolist(), abs=0.06)


def test_a_single_trial_has_no_interval() -> None:
    [bucket] = isolate(Choice(values=(1, 2)), [(2, 0.5)], UP)

    assert (bucket.label, bucket.low, bucket.high) == ("2", None, None)


def test_ranges_have_five_buckets_of_equal_width_on_their_own_scale() -> None:
    rates = [1e-5, 3e-5, 1e-3, 0.9]  # one power of ten each

    by_rate = isolate(LogUniform(min=1e-5, max=1), [(rate, 0.5) for rate in rates], UP)
    by_share = isolate(Uniform(min=0, max=1), [(share, 0.5) for share in (0.0, 0.19, 0.2, 1.0)], UP)

    assert [(bucket.label, bucket.num_trials) for bucket in by_rate] == [
        ("1.0e-5 to\n1.0e-4", 2),
        ("1.0e-3 to\n0.01", 1),
        ("0.1 to\n1", 1),
    ]
    assert [(bucket.label, bucket.num_trials) for bucket in by_share] == [
        ("0 to\n0.2", 2),
        ("0.2 to\n0.4", 1),
        ("0.8 to\n1", 1),
    ]


def test_a_value_of_a_grid_between_two_buckets_belongs_to_the_upper_one() -> None:
    grid = [0.1 * place for place in range(11)]  # 0.6000000000000001 among them

    found = isolate(QUniform(min=0, max=1, q=0.1), [(value, 0.5) for value in [*grid, 0.6]], UP)

    assert [bucket.num_trials for bucket in found] == [2, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("domain", "labels"),
    [
        (Ordinal(values=(64, 32)), ["64", "32"]),
        (Choice(values=((16,), (16, 16))), ["[16]", "[16, 16]"]),
        (Choice(values=(True, 1)), ["true", "1"]),
        (RandInt(min=1, max=3), ["1", "2", "3"]),
        (QRandInt(min=0, max=64, q=32), ["0", "32", "64"]),
        (RandInt(min=0, max=99), ["0 to\n19.8", "79.2 to\n99"]),
        (QUniform(min=0.0, max=0.5, q=0.1), ["0 to\n0.1", "0.4 to\n0.5"]),
    ],
)
def test_a_few_values_have_a_bucket_each(domain: Domain, labels: list[str]) -> None:
    values = domain.ends() if len(labels) == 2 else [int(label) for label in labels]

    found = isolate(domain, [(value, 0.5) for value in values], UP)

    assert [bucket.label for bucket in found] == labels
