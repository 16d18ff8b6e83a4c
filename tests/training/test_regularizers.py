"""Regularizers against torch's own, autograd and the papers' formulas."""

import pytest
import torch

from hpo.training.regularizers import Regularizer
from hpo.training.stacking import stack_numbers

GENERATOR = torch.Generator().manual_seed(0)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def numbers(*lanes: Regularizer) -> dict[str, torch.Tensor]:
    return stack_numbers(lanes, draw(1))


@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 3, 3)])
def test_max_norm_equals_torchs_renorm(shape: tuple[int, ...]) -> None:
    lanes = [Regularizer(max_norm=norm) for norm in (0.5, 2.0, 100.0)]
    weights = draw(3, *shape)
    expected = [torch.renorm(weight, 2, 0, lane.max_norm) for weight, lane in zip(weights, lanes, strict=True)]

    lanes[0].project([weights], numbers(*lanes))

    torch.testing.assert_close(weights, torch.stack(expected))


def test_max_norm_spares_biases() -> None:
    bias = draw(1, 5)
    before = bias.clone()

    Regularizer(max_norm=0.01).project([bias], numbers(Regularizer(max_norm=0.01)))

    assert bias.equal(before)


def test_l1_adds_the_slope_of_the_sum_of_absolute_weights() -> None:
    lanes = [Regularizer(l1=0.1), Regularizer(l1=0.3)]
    weight, bias, grads = draw(2, 4, 3).requires_grad_(), draw(2, 4), [draw(2, 4, 3), draw(2, 4)]
    (0.1 * weight[0].abs().sum() + 0.3 * weight[1].abs().sum()).backward()

    adjusted = lanes[0].adjusted(grads, [weight.detach(), bias], numbers(*lanes), step=0, seed=0)

    assert weight.grad is not None
    torch.testing.assert_close(adjusted[0], grads[0] + weight.grad)
    assert adjusted[1].equal(grads[1])


@pytest.mark.parametrize(("step", "variance"), [(0, 0.3), (99, 0.3 / 100**0.55)])
def test_gradient_noise_has_the_variance_of_the_paper(step: int, variance: float) -> None:
    lane = Regularizer(gradient_noise=0.3)
    zeros = torch.zeros(1, 200, 200)

    [noise] = lane.adjusted([zeros], [zeros], numbers(lane), step, seed=1)

    assert noise.mean().item() == pytest.approx(0.0, abs=0.01)
    assert noise.var().item() == pytest.approx(variance, rel=0.03)


def test_lanes_share_the_draw_of_the_noise() -> None:
    lanes = [Regularizer(gradient_noise=0.01), Regularizer(gradient_noise=0.04)]
    zeros = [torch.zeros(2, 3, 4), torch.zeros(2, 3)]

    noise = lanes[0].adjusted(zeros, zeros, numbers(*lanes), step=5, seed=1)

    for first, second in noise:
        torch.testing.assert_close(2 * first, second)


def test_the_noise_goes_by_the_seed_of_the_step() -> None:
    lane, zeros = Regularizer(gradient_noise=0.01), [torch.zeros(1, 3)]

    first, again, other = (lane.adjusted(zeros, zeros, numbers(lane), 0, seed)[0] for seed in (1, 1, 2))

    assert first.equal(again)
    assert not first.equal(other)


def test_nothing_is_changed_by_default() -> None:
    assert numbers(Regularizer()) == {}
