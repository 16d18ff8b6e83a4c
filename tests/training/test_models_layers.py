"""Pieces of networks against torch's own, or against numbers worked by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from hpo.training.models.layers import (
    Activation,
    DropConnect,
    Dropout,
    LeakyRelu,
    Maxout,
    Residual,
    Scale,
    make_activation,
)
from hpo.training.models.norms import GhostBatchNorm, dense_norm, image_norm


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    torch.manual_seed(0)

    y = Dropout(0.3)(torch.ones(200, 500))

    assert y.mean().item() == pytest.approx(1.0, abs=0.01)
    assert y.eq(0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_dropout_is_the_identity_in_evaluation_and_at_rate_zero() -> None:
    x = torch.randn(10, 10)

    assert Dropout(0.9).eval()(x).equal(x)
    assert Dropout(0.0)(x).equal(x)


def test_dropout_rate_is_a_buffer_that_no_checkpoint_holds() -> None:
    dropout = Dropout(0.25)

    assert dict(dropout.named_buffers())["rate"].item() == 0.25
    assert dropout.state_dict() == {}


@pytest.mark.parametrize("num_axes", [1, 2])
def test_dropout_of_whole_examples_or_channels_drops_all_of_one_or_nothing(num_axes: int) -> None:
    torch.manual_seed(0)

    y = Dropout(0.3, num_axes=num_axes)(torch.ones(100, 50, 4, 4)).flatten(num_axes)

    assert y.eq(y[..., :1]).all()
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert y[..., 0].eq(0).float().mean().item() == pytest.approx(0.3, abs=0.1 if num_axes == 1 else 0.02)


def test_dropconnect_drops_weights_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = DropConnect(nn.Linear(400, 300, bias=False), 0.3)
    nn.init.ones_(layer.dense.weight)

    y = layer(torch.eye(400))

    assert y.eq(0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert y.mean().item() == pytest.approx(1.0, abs=0.01)


def test_dropconnect_is_its_dense_layer_in_evaluation() -> None:
    layer = DropConnect(nn.Linear(4, 3), 0.9).eval()
    x = torch.randn(5, 4)

    assert layer(x).equal(layer.dense(x))


@pytest.mark.parametrize(
    ("name", "at_minus_1", "at_2"),
    [
        ("relu", 0.0, 2.0),
        ("leaky_relu", -0.1, 2.0),
        ("tanh", (math.e**-2 - 1) / (math.e**-2 + 1), (math.e**4 - 1) / (math.e**4 + 1)),
        ("sigmoid", 1 / (1 + math.e), 1 / (1 + math.e**-2)),
        ("gelu", -0.5 * (1 + math.erf(-1 / math.sqrt(2))), 1 + math.erf(2 / math.sqrt(2))),
        ("silu", -1 / (1 + math.e), 2 / (1 + math.e**-2)),
        ("elu", math.exp(-1) - 1, 2.0),
        ("selu", 1.0507009873554805 * 1.6732632423543772 * (math.exp(-1) - 1), 1.0507009873554805 * 2),
        ("celu", math.exp(-1) - 1, 2.0),
    ],
)
def test_an_activation_is_its_formula(name: Activation, at_minus_1: float, at_2: float) -> None:
    activation = make_activation(name, leaky_slope=0.1)

    assert activation(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([at_minus_1, at_2], abs=1e-6)


def test_leaky_relu_is_torchs() -> None:
    x = torch.randn(4, 5, requires_grad=True)

    ours, theirs = LeakyRelu(0.2)(x), functional.leaky_relu(x, 0.2)

    assert ours.equal(theirs)
    assert torch.autograd.grad(ours.sum(), x)[0].equal(torch.autograd.grad(theirs.sum(), x)[0])


def test_maxout_takes_the_largest_of_neighbours() -> None:
    x = torch.tensor([[1.0, 5.0, -2.0, -7.0, 0.0, -1.0]])

    assert Maxout(2)(x).tolist() == [[5.0, -2.0, 0.0]]
    assert Maxout(3)(x).tolist() == [[5.0, 0.0]]


def test_a_residual_block_adds_the_shortcut() -> None:
    x = torch.randn(3, 4)

    assert Residual(Scale(2.0))(x).equal(x + 2 * x)
    assert Residual(Scale(2.0), Scale(0.5))(x).equal(0.5 * x + 2 * x)


def test_norms_of_images_are_torchs() -> None:
    x = torch.randn(5, 6, 4, 4)

    def norm(kind: str) -> torch.Tensor:
        out: torch.Tensor = image_norm(kind, 6, momentum=0.1, ghost_batch=0, group_size=2)[0](x)  # type: ignore[arg-type]
        return out

    torch.testing.assert_close(norm("layer"), functional.layer_norm(x, (6, 4, 4)))
    torch.testing.assert_close(norm("instance"), functional.instance_norm(x))
    torch.testing.assert_close(norm("group"), functional.group_norm(x, num_groups=3))
    torch.testing.assert_close(norm("batch"), functional.batch_norm(x, None, None, training=True))


def test_the_norm_of_dense_layers_is_torchs() -> None:
    x = torch.randn(5, 6)

    batch, layer = (dense_norm(kind, 6, momentum=0.1, ghost_batch=0)[0] for kind in ("batch", "layer"))

    torch.testing.assert_close(batch(x), functional.batch_norm(x, None, None, training=True))
    torch.testing.assert_close(layer(x), functional.layer_norm(x, (6,)))
    assert dense_norm("none", 6, momentum=0.1, ghost_batch=0) == []


def test_the_momentum_is_the_share_of_the_new_batch() -> None:
    x = torch.randn(50, 6) + 3

    norm = dense_norm("batch", 6, momentum=0.4, ghost_batch=0)[0]
    norm(x)

    torch.testing.assert_close(norm.get_buffer("running_mean"), 0.4 * x.mean(0))
    torch.testing.assert_close(norm.get_buffer("running_var"), 0.6 + 0.4 * x.var(0, correction=1))


def test_ghost_batches_are_normalized_each_by_its_own_statistics() -> None:
    x = torch.randn(10, 3)
    ours = GhostBatchNorm(nn.BatchNorm1d(3), 4)

    y = ours(x)

    first, second = x[:5], x[5:]  # two parts of at least four
    expected = [(part - part.mean(0)) / (part.var(0, correction=0) + 1e-5).sqrt() for part in (first, second)]
    torch.testing.assert_close(y, torch.cat(expected))
    torch.testing.assert_close(ours.norm.get_buffer("running_mean"), 0.9 * 0.1 * first.mean(0) + 0.1 * second.mean(0))


def test_a_batch_smaller_than_two_ghosts_is_one() -> None:
    x = torch.randn(7, 3)

    assert GhostBatchNorm(nn.BatchNorm1d(3), 4)(x).equal(nn.BatchNorm1d(3)(x))


def test_ghost_batch_norm_is_batch_norm_in_evaluation() -> None:
    ours = GhostBatchNorm(nn.BatchNorm2d(3), 2)
    ours(torch.randn(8, 3, 4, 4))
    x = torch.randn(6, 3, 4, 4)

    assert ours.eval()(x).equal(ours.norm(x))
