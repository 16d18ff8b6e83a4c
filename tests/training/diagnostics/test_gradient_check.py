"""Slopes against torch's own derivatives, right and wrong ones."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, jvp
from torch.nn import functional

from hpo.training.diagnostics.gradient_check import STEP, Slope, slopes
from hpo.training.seeds import make_generator


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def test_slopes_are_the_directional_derivatives_of_torch(net: nn.Module) -> None:
    x, y = torch.randn(8, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    parameters = {name: own.detach() for name, own in net.named_parameters()}
    generator = make_generator(3)
    expected = {}
    for name, own in parameters.items():
        direction = torch.randn(own.shape, generator=generator, dtype=torch.float64)
        moved = {other: torch.zeros_like(value) for other, value in parameters.items()}
        moved[name] = direction / direction.norm()
        loss = lambda tensors: functional.cross_entropy(functional_call(net, tensors, (x,)), y)  # noqa: E731
        expected[name] = jvp(loss, (parameters,), (moved,))[1].item()

    found = slopes(lambda: functional.cross_entropy(net(x), y), list(net.named_parameters()), make_generator(3))

    assert {own.name: own.by_gradient for own in found} == pytest.approx(expected)
    assert {own.name: own.by_difference for own in found} == pytest.approx(expected, rel=1e-6)
    assert torch.autograd.gradcheck(lambda x: functional.cross_entropy(net(x), y), x.requires_grad_())
    assert max(own.error for own in found) < 1e-6


def test_a_difference_is_that_of_the_ends_and_leaves_the_weights() -> None:
    """Of w^3 at 2 along +-1: 12, and h^2 by hand."""
    weight = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)

    [found] = slopes(lambda: weight[0] ** 3, [("weight", weight)], make_generator(0))

    assert abs(found.by_gradient) == pytest.approx(12.0)
    assert abs(found.by_difference) == pytest.approx(12.0 + STEP**2, rel=1e-9)
    assert weight.item() == 2.0


def test_an_error_is_relative_to_the_larger_slope() -> None:
    assert Slope(name="w", by_gradient=1.0, by_difference=4.0).error == 0.75
    assert Slope(name="w", by_gradient=0.0, by_difference=-3.0).error == 1.0
    assert Slope(name="w", by_gradient=0.0, by_difference=1e-10).error == pytest.approx(1e-5)
    assert math.isnan(Slope(name="w", by_gradient=math.nan, by_difference=1.0).error)
