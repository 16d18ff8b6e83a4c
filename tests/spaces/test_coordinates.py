import math
import random
from typing import Any

import pytest
import torch

from hpo.spaces.coordinates import COORDINATES, to_effective, to_raw
from hpo.training.models import Mlp
from hpo.training.optimizers import Adam, AdamW, Muon, Optimizer, RmsProp, Sgd
from hpo.training.recipe import Recipe, flatten

CIFAR10, IMAGENET = 50_000, 1_281_167


def values_of(optimizer: Optimizer, batch_size: int = 128) -> dict[str, Any]:
    return flatten(Recipe(model=Mlp(), optimizer=optimizer, batch_size=batch_size).as_tree())


@pytest.mark.parametrize(
    ("lr", "momentum", "batch_size", "weight_decay", "num_train", "per_example", "decay_epochs"),
    [
        pytest.param(0.1, 0.9, 128, 5e-4, CIFAR10, 7.8e-3, 5.1, id="DAWNBench ResNet-18, WRN-28-10"),
        pytest.param(0.4, 0.9, 512, 5e-4, CIFAR10, 7.8e-3, 5.2, id="Page 2018: 4"),
        pytest.param(1.0, 0.9, 512, 5e-4, CIFAR10, 2.0e-2, 2.1, id="Page 2019: 8"),
        pytest.param(0.1, 0.9, 128, 3e-4, CIFAR10, 7.8e-3, 8.6, id="PreResNet-164"),
        pytest.param(0.2, 0.9, 64, 1e-4, CIFAR10, 3.1e-2, 6.4, id="ResNet-110 with snapshots"),
        pytest.param(0.1, 0.9, 256, 1e-4, IMAGENET, 3.9e-3, 2.0, id="ResNet-50"),
    ],
)
def test_published_recipes_have_the_published_coordinates(
    lr: float,
    momentum: float,
    batch_size: int,
    weight_decay: float,
    num_train: int,
    per_example: float,
    decay_epochs: float,
) -> None:
    values = values_of(Sgd(lr=lr, momentum=momentum, weight_decay=weight_decay), batch_size)

    found = to_effective(values, num_train)

    assert float(f"{found['effective.lr']:.1e}") == per_example
    assert found["effective.decay_epochs"] == pytest.approx(decay_epochs, rel=0.03)  # some drop the last batch
    assert found["effective.one_minus_momentum"] == pytest.approx(1 - momentum)


def draw(optimizer: str, draws: random.Random) -> tuple[dict[str, Any], dict[str, float], int]:
    """A recipe's values, coordinates for it, and a number of training examples."""
    kinds: dict[str, Optimizer] = {
        "sgd": Sgd(),
        "sgdw": Sgd(decay_mode="decoupled"),
        "adam": Adam(),
        "adamw": AdamW(),
        "muon": Muon(),
    }
    values = values_of(kinds[optimizer], batch_size=draws.randint(1, 4096))
    defined = [path for path, coordinate in COORDINATES.items() if coordinate.is_defined(values)]
    searched = draws.sample(defined, draws.randint(1, len(defined)))
    return values, {path: 10 ** draws.uniform(-3, 0) for path in searched}, draws.randint(4096, 2_000_000)


@pytest.mark.parametrize("optimizer", ["sgd", "sgdw", "adam", "adamw", "muon"])
def test_to_raw_and_back_is_the_identity(optimizer: str) -> None:
    draws = random.Random(optimizer)
    for _ in range(200):
        values, effective, num_train = draw(optimizer, draws)

        back = to_effective(values | to_raw(effective, values, num_train), num_train)

        assert {path: back[path] for path in effective} == pytest.approx(effective, rel=1e-12)


def test_to_effective_and_back_is_the_identity() -> None:
    values = values_of(Sgd(lr=0.3, momentum=0.85, weight_decay=1e-3), batch_size=96)

    raw = to_raw(to_effective(values, 1437), values, 1437)

    assert raw == pytest.approx(
        {"optimizer.lr": 0.3, "optimizer.momentum": 0.85, "optimizer.weight_decay": 1e-3}, rel=1e-12
    )


def test_the_rate_follows_the_momentum_that_is_searched_beside_it_and_decay_follows_both() -> None:
    effective = {"effective.decay_epochs": 5.0, "effective.lr": 0.01, "effective.one_minus_momentum": 0.2}

    raw = to_raw(effective, values_of(Sgd(lr=7.0, momentum=0.5), batch_size=100), 1000)

    assert raw["optimizer.momentum"] == 0.8
    assert raw["optimizer.lr"] == pytest.approx(0.01 * 100 * 0.2)
    assert raw["optimizer.weight_decay"] == pytest.approx(0.2 / (0.2 * 5 * 10))  # ten steps to an epoch


@pytest.mark.parametrize("nesterov", [False, True])
def test_at_equal_effective_rates_torch_moves_weights_alike_per_example(nesterov: bool) -> None:
    for momentum, batch_size in ((0.0, 32), (0.5, 128), (0.9, 64)):
        values = values_of(Sgd(momentum=momentum), batch_size)
        rate = to_raw({"effective.lr": 0.01}, values, 1)["optimizer.lr"]
        weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=rate, momentum=momentum, nesterov=nesterov and momentum > 0)
        before = torch.zeros(1)
        for _ in range(400):
            before = weight.detach().clone()
            weight.grad = torch.ones_like(weight)
            optimizer.step()

        assert (before - weight).item() / batch_size == pytest.approx(0.01, rel=1e-9)


def test_decay_alone_shrinks_weights_by_a_factor_e_in_its_epochs() -> None:
    rate, num_steps = 1e-3, 2000
    values = values_of(AdamW(lr=rate), batch_size=10)
    decay = to_raw({"effective.decay_epochs": 2.0}, values, num_steps * 5)["optimizer.weight_decay"]
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=rate, weight_decay=decay)
    for _ in range(num_steps):  # an epoch has half as many
        weight.grad = torch.zeros_like(weight)
        optimizer.step()

    assert weight.item() == pytest.approx(math.exp(-1), rel=1e-3)


def test_decay_through_the_gradient_of_sgd_with_momentum_takes_the_same_time() -> None:
    num_steps = 2000
    values = values_of(Sgd(lr=0.01, momentum=0.9), batch_size=10)
    decay = to_raw({"effective.decay_epochs": 2.0}, values, num_steps * 5)["optimizer.weight_decay"]
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.01, momentum=0.9, weight_decay=decay)
    for _ in range(num_steps):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()

    assert weight.item() == pytest.approx(math.exp(-1), rel=1e-2)


def test_four_times_the_batch_takes_twice_the_rate_of_adam() -> None:
    small, large = (
        to_raw({"effective.lr": 1e-4}, values_of(AdamW(), batch_size), 1)["optimizer.lr"] for batch_size in (64, 256)
    )

    assert small == pytest.approx(8e-4)
    assert large == pytest.approx(16e-4)


@pytest.mark.parametrize(
    ("optimizer", "names"),
    [
        (Sgd(), {"one_minus_momentum", "lr", "decay_epochs"}),
        (Sgd(weight_decay=0.0), {"one_minus_momentum", "lr"}),
        (Adam(weight_decay=0.1), {"one_minus_beta1", "one_minus_beta2", "lr"}),
        (AdamW(), {"one_minus_beta1", "one_minus_beta2", "lr", "decay_epochs"}),
        (RmsProp(weight_decay=0.1), {"one_minus_momentum"}),
    ],
)
def test_a_recipe_has_the_coordinates_of_its_optimizer(optimizer: Optimizer, names: set[str]) -> None:
    found = to_effective(values_of(optimizer), 1000)

    assert found.keys() == {f"effective.{name}" for name in names}
