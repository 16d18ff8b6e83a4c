"""Frozen layers against a loop over the rest of the network, which knows nothing of them."""

from typing import Any

import pytest
import torch
from torch import nn

from hpo.training.depth import batch_norms, freeze, layers_by_depth
from hpo.training.examples import TrainingData
from hpo.training.lanes import Lanes
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Mlp, Resnet
from hpo.training.optimizers import AdamW, Lbfgs, Muon, Optimizer, RmsProp, Sgd
from hpo.training.program import Program, initial_module, initial_state
from hpo.training.recipe import Recipe
from hpo.training.regularizers import Regularizer
from hpo.training.schedules import Constant
from hpo.training.solo import Solo
from hpo.training.state import Tensors

LUCK = Luck(seed=3, seed_index=0)
NUM_FROZEN = 2
FROZEN = ("1.", "2.", "4.", "5.")  # of Mlp(hidden=(8, 8, 8), norm="batch"): two dense layers and their norms


@pytest.fixture
def data() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 1, 4, 4, generator=generator), torch.randint(3, (50,), generator=generator)
    return TrainingData(train_x=x[:40], train_y=y[:40], validation_x=x[40:], validation_y=y[40:], num_classes=3)


def make_recipe(optimizer: Optimizer, **options: object) -> Recipe:
    base = Recipe(model=Mlp(hidden=(8, 8, 8), norm="batch"), optimizer=optimizer, schedule=Constant(), batch_size=40)
    return base.model_copy(update={"frozen_layers": NUM_FROZEN, **options})


def train(recipe: Recipe, data: TrainingData) -> tuple[Tensors, Tensors]:
    """Tensors before and after two epochs of a trial alone."""
    begun = initial_state(recipe, data, 0, 0)
    solo = Solo(recipe, data, LUCK, begun)
    for epoch in (1, 2):
        solo.train_epoch(epoch)
    return begun.module, {name: value.clone() for name, value in solo.state(0, 2).module.items()}


def is_statistic(name: str) -> bool:
    return "running" in name or "batches" in name


def test_layers_are_those_with_weights_and_what_follows_them() -> None:
    layers = layers_by_depth(Mlp(hidden=(8, 8), norm="batch", dropout=0.1).build((4,), 3))

    assert [[name for name, part in layer.items() if list(part.parameters(recurse=False))] for layer in layers] == [
        ["1", "2"],
        ["5", "6"],
        ["9"],
    ]


def test_the_layers_of_a_residual_network_are_all_found() -> None:
    module = Resnet(width=2).build((3, 8, 8), 5)

    layers = layers_by_depth(module)

    assert len(layers) == sum(isinstance(part, nn.Conv2d | nn.Linear) for part in module.modules())


@pytest.mark.parametrize(
    "optimizer",
    [
        Sgd(weight_decay=0.1),
        Sgd(weight_decay=0.1, decay_mode="decoupled"),
        AdamW(weight_decay=0.1),
        RmsProp(weight_decay=0.1),
        Muon(),
        Lbfgs(),
    ],
    ids=lambda optimizer: f"{optimizer.kind} {getattr(optimizer, 'decay_mode', '')}",
)
def test_frozen_parameters_stay_bit_equal_and_the_others_move(optimizer: Optimizer, data: TrainingData) -> None:
    before, after = train(make_recipe(optimizer), data)

    moved = {name for name in before if not is_statistic(name) and not before[name].equal(after[name])}
    assert moved == {name for name in before if not is_statistic(name) and not name.startswith(FROZEN)}


def test_no_regularizer_touches_what_is_frozen(data: TrainingData) -> None:
    regularizer = Regularizer(l1=0.1, max_norm=0.01, gradient_noise=0.1)

    before, after = train(make_recipe(Sgd(), regularizer=regularizer, grad_clip=0.1), data)

    assert all(before[name].equal(after[name]) for name in before if name.startswith(FROZEN) and not is_statistic(name))


def test_what_is_not_frozen_trains_as_if_it_were_alone(data: TrainingData) -> None:
    recipe = make_recipe(Sgd(lr=0.5, weight_decay=0.1), frozen_norms=True, grad_clip=0.05)
    module = initial_module(recipe, data, 0, 0)
    assert isinstance(module, nn.Sequential)
    body, rest = module[:7].eval(), module[7:]
    with torch.no_grad():
        features = body(data.train_x)
    weights, others = ([p for p in rest.parameters() if (p.ndim > 1) is is_weight] for is_weight in (True, False))
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": 0.1}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=0.5, momentum=0.9, nesterov=True)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(rest(features), data.train_y).backward()
        nn.utils.clip_grad_norm_(rest.parameters(), 0.05)
        optimizer.step()

    _, after = train(recipe, data)

    for name, value in module.state_dict().items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("frozen_norms", "moved"), [(False, {"2", "5", "8"}), (True, {"8"})])
def test_frozen_norms_keep_their_running_statistics(frozen_norms: bool, moved: set[str], data: TrainingData) -> None:
    before, after = train(make_recipe(Sgd(), frozen_norms=frozen_norms), data)

    statistics = {name for name in before if is_statistic(name) and not before[name].equal(after[name])}
    assert {name.partition(".")[0] for name in statistics} == moved


def test_an_average_of_weights_leaves_the_statistics_of_frozen_norms(data: TrainingData) -> None:
    recipe = make_recipe(Sgd(), frozen_norms=True, swa_start=0.01, epochs=2)
    begun = initial_state(recipe, data, 0, 0)
    programs: list[Program] = [Solo(recipe, data, LUCK, begun), Lanes([recipe, recipe], data, LUCK, [begun, begun])]

    for program in programs:
        program.train_epoch(1)

    for program in programs:
        averaged = program.state(0, 1).averaged
        assert averaged["2.running_mean"].equal(begun.module["2.running_mean"])
        assert not averaged["8.running_mean"].equal(begun.module["8.running_mean"])


def test_lanes_leave_frozen_tensors_bit_equal(data: TrainingData) -> None:
    recipes = [
        make_recipe(Sgd(lr=lr), frozen_norms=True, regularizer=Regularizer(max_norm=0.01)) for lr in (0.1, 0.2, 0.3)
    ]
    states = [initial_state(recipe, data, 0, trial_id) for trial_id, recipe in enumerate(recipes)]
    lanes = Lanes(recipes, data, LUCK, states)

    lanes.train_epoch(1)

    for lane, state in enumerate(states):
        after = lanes.state(lane, 1).module
        same = {name for name, value in state.module.items() if value.equal(after[name])}
        assert same == {name for name in after if name.startswith(FROZEN)}


@pytest.mark.parametrize("num_layers", [3, 9])
def test_a_network_must_keep_a_layer_that_learns(num_layers: int) -> None:
    module = Cnn(channels=(4,), hidden=8).build((1, 4, 4), 3)

    with pytest.raises(
        ValueError,
        match=(
            "frozen_layers: must leave one of the network's 3 layers with weights to learn, "
            f"but got {num_layers}. Lower it."
        ),
    ):
        freeze(module, num_layers)


def test_norms_without_statistics_cannot_be_held() -> None:
    module = Mlp(hidden=(8, 8), norm="layer").build((4,), 3)

    assert batch_norms(module, 2) == []
