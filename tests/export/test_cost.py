"""What models cost: how it is measured, and what limits allow."""

import pytest

from hpo.export import Member
from hpo.export.cost import Cost, Limits, costs
from hpo.training.models import Mlp
from tests.export.test_ensemble import INPUT_SHAPE, NUM_CLASSES, PLAIN


def network(width: int) -> Member:
    return Member(module=Mlp(hidden=(width,)).build(INPUT_SHAPE, NUM_CLASSES), normalization=PLAIN)


@pytest.mark.slow
def test_a_larger_ensemble_takes_the_space_of_its_weights_and_more_time() -> None:
    small, large = [network(8)], [network(8), network(2048)]

    found = list(costs([small, large], input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES, batch_size=64))

    weights = 4 * (128 * 2048 + 2048 + 2048 * NUM_CLASSES + NUM_CLASSES) / 1e6
    assert found[1].megabytes - found[0].megabytes == pytest.approx(weights, rel=0.01)
    assert found[1].p50_ms > found[0].p50_ms > 0
    assert all(cost.p50_ms <= cost.p95_ms for cost in found)


COST = Cost(p50_ms=1.0, p95_ms=2.0, megabytes=0.5)


@pytest.mark.parametrize(
    ("limits", "is_allowed"),
    [
        (Limits(), True),
        (Limits(latency_ms=2.0, megabytes=0.5), True),
        (Limits(latency_ms=1.9), False),
        (Limits(latency_ms=9.0, megabytes=0.4), False),
    ],
    ids=["none", "both kept", "too slow", "too large"],
)
def test_limits_allow_what_keeps_both(limits: Limits, is_allowed: bool) -> None:
    assert limits.allow(COST) is is_allowed
