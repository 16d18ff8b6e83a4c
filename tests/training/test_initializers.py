import math

import pytest
import torch
from torch import nn

from hpo.training.initializers import (
    ConstantInit,
    Initializer,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Orthogonal,
    XavierNormal,
    XavierUniform,
)
from hpo.training.seeds import make_generator

FAN_IN, FAN_OUT = 400, 200


def fill(initializer: Initializer, *seed: int) -> nn.Linear:
    layer = nn.Linear(FAN_IN, FAN_OUT)
    initializer(layer, make_generator(*(seed or (0,))))
    return layer


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        (Normal(std=0.03), 0.03),
        (XavierUniform(), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (XavierNormal(), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (KaimingUniform(), math.sqrt(2 / FAN_IN)),
        (KaimingNormal(), math.sqrt(2 / FAN_IN)),
    ],
)
def test_weights_have_the_variance_of_the_formula(initializer: Initializer, std: float) -> None:
    layer = fill(initializer)

    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert layer.weight.mean().item() == pytest.approx(0, abs=std / 50)


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [(XavierUniform(), math.sqrt(6 / (FAN_IN + FAN_OUT))), (KaimingUniform(), math.sqrt(6 / FAN_IN))],
)
def test_uniform_weights_fill_their_interval(initializer: Initializer, bound: float) -> None:
    assert fill(initializer).weight.abs().max().item() == pytest.approx(bound, rel=1e-3)


def test_orthogonal_rows_are_orthonormal_times_the_gain() -> None:
    weight = fill(Orthogonal(gain=2.0)).weight

    torch.testing.assert_close(weight @ weight.T, 4 * torch.eye(FAN_OUT), atol=1e-4, rtol=0)


def test_constant_weights_are_all_the_same() -> None:
    assert fill(ConstantInit(value=0.5)).weight.unique().tolist() == [0.5]


def test_biases_are_zero_and_norms_untouched() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))

    KaimingNormal()(module, make_generator(0))

    weights = module.state_dict()
    assert weights["0.bias"].eq(0).all()
    assert weights["1.weight"].eq(1).all()
    assert weights["1.bias"].eq(0).all()


def test_the_seed_alone_decides() -> None:
    torch.manual_seed(1)
    first = fill(KaimingNormal(), 7).weight
    torch.manual_seed(2)

    assert fill(KaimingNormal(), 7).weight.equal(first)
    assert not fill(KaimingNormal(), 8).weight.equal(first)
