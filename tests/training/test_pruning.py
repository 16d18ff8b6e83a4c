"""Pruning against torch's own, and small networks against large ones of which units are silenced."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from hpo.errors import PruneError
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Custom, Mlp, Model, Resnet
from hpo.training.optimizers import AdamW, Lbfgs, Muon, Optimizer, Sgd
from hpo.training.program import initial_module
from hpo.training.pruning import Mode, check_prunable, keep_largest, remove_units, weights_of
from hpo.training.recipe import Recipe
from hpo.training.regularizers import Regularizer
from hpo.training.schedules import Constant
from hpo.training.seeds import make_generator
from hpo.training.solo import Solo
from hpo.training.state import TrialState

LUCK = Luck(seed=3, seed_index=0)


@pytest.fixture
def data() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 1, 8, 8, generator=generator), torch.randint(3, (50,), generator=generator)
    return TrainingData(train_x=x[:40], train_y=y[:40], validation_x=x[40:], validation_y=y[40:], num_classes=3)


def make_module(model: Model, data: TrainingData) -> nn.Module:
    """Trained by nobody, but with norms that have seen data, and biases and norms that are not the initial ones."""
    module = initial_module(Recipe(model=model), data, seed=0, trial_id=0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.rand_like(parameter))
        for _ in range(5):
            module(data.train_x)
    return module.eval()


class Tied(nn.Module):
    """Two layers with one weight, and a norm between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6)
        self.second.weight = self.first.weight


def test_the_weights_of_dense_layers_and_convolutions_are_pruned_each_once() -> None:
    cnn = Cnn(channels=(4,), hidden=8).build((1, 8, 8), num_classes=3)

    assert list(weights_of(cnn)) == ["0.weight", "5.weight", "7.weight"]
    assert list(weights_of(Tied())) == ["first.weight"]


@pytest.mark.parametrize("amount", [0.0, 0.31, 0.5, 0.95])
def test_masks_are_those_of_torch_global_unstructured_l1(amount: float, data: TrainingData) -> None:
    module = make_module(Cnn(channels=(4, 8), hidden=8), data)
    reference = copy.deepcopy(module)
    layers = {name: layer for name, layer in reference.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    pairs = [(layer, "weight") for layer in layers.values()]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=amount)

    masks = keep_largest(weights_of(module), amount)

    assert masks.keys() == {f"{name}.weight" for name in layers}
    for name, layer in layers.items():
        assert torch.equal(masks[f"{name}.weight"], layer.get_buffer("weight_mask").bool())


def test_masked_training_equals_a_plain_loop_over_torch_pruned_layers(data: TrainingData) -> None:
    """Momentum, decay and clipping see a network that has no such weights."""
    recipe = Recipe(
        model=Mlp(hidden=(8,)),
        optimizer=Sgd(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01),
        schedule=Constant(),
        grad_clip=0.1,
        batch_size=16,
    )
    module = make_module(recipe.model, data)
    masks = keep_largest(weights_of(module), 0.6)
    state = TrialState(epoch=0, module=copy.deepcopy(module).state_dict(), optimizer={})
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            prune.custom_from_mask(layer, "weight", masks[f"{name}.weight"])
    groups: list[dict[str, Any]] = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.8, nesterov=True)
    for epoch in (1, 2, 3):
        order = torch.randperm(40, generator=make_generator(LUCK.seed, LUCK.seed_index, "order", epoch))
        for batch in order.split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(data.train_x[batch]), data.train_y[batch]).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.1)
            optimizer.step()
    module(data.train_x)  # only a forward pass brings torch's pruned weights up to date

    solo = Solo(recipe, data, LUCK, state, masks)
    for epoch in (1, 2, 3):
        solo.train_epoch(epoch)

    trained = solo.state(0, 3).module
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            torch.testing.assert_close(trained[f"{name}.weight"], layer.weight, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(trained[f"{name}.bias"], layer.bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer", [Sgd(), AdamW(), Muon(), Lbfgs(max_iter=3)], ids=lambda optimizer: str(optimizer.kind)
)
def test_masked_weights_stay_at_zero_and_the_others_learn(optimizer: Optimizer, data: TrainingData) -> None:
    stirred = Regularizer() if isinstance(optimizer, Lbfgs) else Regularizer(l1=1e-3, gradient_noise=0.1)
    recipe = Recipe(model=Mlp(hidden=(8, 8), norm="batch"), optimizer=optimizer, regularizer=stirred, batch_size=40)
    module = make_module(recipe.model, data)
    masks = keep_largest(weights_of(module), 0.5)

    solo = Solo(recipe, data, LUCK, TrialState(epoch=0, module=dict(module.state_dict()), optimizer={}), masks)
    for epoch in (1, 2, 3):
        solo.train_epoch(epoch)

    trained = solo.state(0, 3).module
    for name, weight in weights_of(module).items():
        assert (trained[name][~masks[name]] == 0).all()
        assert (trained[name][masks[name]] != weight[masks[name]]).all()


MODELS = [
    Mlp(hidden=(12, 10), input_dropout=0.1, dropout=0.2),
    Mlp(hidden=(12, 10), norm="batch"),
    Mlp(hidden=(12, 10), norm="batch", norm_position="after", activation="tanh"),
    Mlp(hidden=(12, 10), norm="batch", ghost_batch=8, dropconnect=0.2, activation="leaky_relu"),
    Cnn(channels=(6, 8), hidden=12, spatial_dropout=0.1),
    Cnn(channels=(6, 8), hidden=12, norm="instance"),
    Cnn(channels=(6, 8), hidden=12, norm="none"),
    Cnn(channels=(6, 8), hidden=12, whiten_patches=2),
]
"""Whose units treat each other as strangers."""


def silence_weakest(module: nn.Module, amount: float) -> None:
    """Let nobody hear the units that torch would prune by `ln_structured`."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    masks = []
    for layer in layers[:-1]:
        pruned = prune.ln_structured(copy.deepcopy(layer), "weight", amount=amount, n=2, dim=0)
        masks.append(pruned.weight_mask.flatten(1).amax(1))
    with torch.no_grad():
        for mask, (layer, listener) in zip(masks, pairwise(layers), strict=True):
            num_each = listener.weight.shape[1] // len(layer.weight)
            heard = mask.repeat_interleave(num_each)
            listener.weight.mul_(heard.view(1, -1, *(1,) * (listener.weight.ndim - 2)))


@pytest.mark.parametrize("amount", [0.3, 0.75])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.kind} {model.norm} {model.norm_position}")
def test_a_network_without_its_weakest_units_equals_the_whole_with_these_silenced(
    model: Model, amount: float, data: TrainingData
) -> None:
    module = make_module(model, data)
    check_prunable(model, module, "structured")

    recipe, state = remove_units(Recipe(model=model), module, amount)

    small = recipe.model.build(data.input_shape, data.num_classes).eval()
    small.load_state_dict(state)
    silence_weakest(module, amount)
    torch.testing.assert_close(small(data.validation_x), module(data.validation_x), rtol=1e-5, atol=1e-5)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in module.parameters())


def test_the_recipe_of_the_small_network_has_its_widths(data: TrainingData) -> None:
    mlp, cnn = Mlp(hidden=(12, 10), dropout=0.2), Cnn(channels=(6, 8), hidden=12)

    small_mlp, _ = remove_units(Recipe(model=mlp), make_module(mlp, data), 0.5)
    small_cnn, _ = remove_units(Recipe(model=cnn), make_module(cnn, data), 0.25)

    assert small_mlp.model == Mlp(hidden=(6, 5), dropout=0.2)
    assert small_cnn.model == Cnn(channels=(4, 6), hidden=9)  # a quarter of 6 is 1.5, which rounds to 2


def test_removing_nothing_leaves_everything(data: TrainingData) -> None:
    model = Cnn(channels=(6, 8), hidden=12)
    module = make_module(model, data)

    recipe, state = remove_units(Recipe(model=model), module, 0.0)

    assert recipe == Recipe(model=model)
    assert state.keys() == module.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_a_layer_keeps_one_unit_at_least(data: TrainingData) -> None:
    model = Mlp(hidden=(3, 2))

    recipe, _ = remove_units(Recipe(model=model), make_module(model, data), 0.99)

    assert recipe.model == Mlp(hidden=(1, 1))


def test_layers_that_become_equally_wide_do_not_become_residual(data: TrainingData) -> None:
    model = Mlp(hidden=(10, 11), residual=True)
    module = make_module(model, data)

    recipe, state = remove_units(Recipe(model=model), module, 0.5)

    assert recipe.model == Mlp(hidden=(5, 5), residual=False)
    recipe.model.build(data.input_shape, data.num_classes).load_state_dict(state)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Resnet(width=4), ": model.kind must be mlp or cnn, but is resnet"),
        (Mlp(hidden=(8, 8), residual=True), ", but this mlp has a layer Residual"),
        (Mlp(hidden=(8,), norm="layer"), ", but this mlp has a layer LayerNorm"),
        (Mlp(hidden=(8,), activation="maxout"), ", but this mlp has a layer Maxout"),
        (Cnn(channels=(8,), norm="group", group_size=4), ", but this cnn has a layer GroupNorm"),
    ],
    ids=["resnet", "residual", "layer norm", "maxout", "group norm"],
)
def test_units_that_cannot_be_taken_out_are_told(model: Model, reason: str, data: TrainingData) -> None:
    module = model.build(data.input_shape, data.num_classes)

    with pytest.raises(PruneError) as caught:
        check_prunable(model, module, "structured")

    rule = "structured pruning takes units out of layers that follow one another and treat units apart"
    assert str(caught.value) == f"{rule}{reason}. Use mode global_l1."
    check_prunable(model, module, "global_l1")


@pytest.mark.parametrize("mode", ["global_l1", "structured"])
def test_a_network_without_weights_to_prune_is_refused(mode: Mode) -> None:
    with pytest.raises(PruneError, match="must have dense layers or convolutions to be pruned, but this has none"):
        check_prunable(Custom(factory="nets:make"), nn.Flatten(), mode)
