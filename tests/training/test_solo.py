"""A trial alone against a loop that a reader of torch's tutorials would write."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from hpo.training.augmentations import Augment
from hpo.training.batch_growth import BatchGrowth
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Mlp
from hpo.training.optimizers import Adam, AdamW, Lbfgs, LrFactor, Muon, Optimizer, Sgd
from hpo.training.program import draw_batch, initial_module, initial_state
from hpo.training.recipe import Recipe
from hpo.training.regularizers import Regularizer
from hpo.training.schedules import Constant, Cosine
from hpo.training.seeds import make_generator
from hpo.training.solo import Solo

LUCK = Luck(seed=3, seed_index=0)
EPOCHS = 3


@pytest.fixture
def data() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 1, 4, 4, generator=generator), torch.randint(3, (50,), generator=generator)
    return TrainingData(train_x=x[:40], train_y=y[:40], validation_x=x[40:], validation_y=y[40:], num_classes=3)


def start(recipe: Recipe, data: TrainingData, trial_id: int = 0) -> Solo:
    return Solo(recipe, data, LUCK, initial_state(recipe, data, LUCK.seed, trial_id))


def decaying(module: nn.Module) -> list[dict[str, object]]:
    weights = [p for name, p in module.named_parameters() if p.ndim > 1]
    rest = [p for name, p in module.named_parameters() if p.ndim == 1]
    return [{"params": weights}, {"params": rest, "weight_decay": 0.0}]


def plain_losses(
    recipe: Recipe, data: TrainingData, module: nn.Module, optimizer: torch.optim.Optimizer
) -> list[float]:
    """Mean losses of epochs, in a loop that follows `recipe.schedule` and nothing else of the recipe."""
    found, total = [], EPOCHS * 3
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: recipe.schedule(step / total))
    for epoch in range(1, EPOCHS + 1):
        losses = []
        order = torch.randperm(40, generator=make_generator(LUCK.seed, LUCK.seed_index, "order", epoch))
        for batch in order.split(16):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(data.train_x[batch]), data.train_y[batch])
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses += [loss.item()] * len(batch)
        found.append(sum(losses) / len(losses))
    return found


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(decaying(module), lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01)


def adamw(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(decaying(module), lr=0.01, betas=(0.8, 0.99), eps=1e-7, weight_decay=0.1)


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        (Sgd(lr=0.1, momentum=0.8, weight_decay=0.01), sgd),
        (AdamW(lr=0.01, beta1=0.8, beta2=0.99, eps=1e-7, weight_decay=0.1), adamw),
    ],
)
@pytest.mark.parametrize("model", [Mlp(hidden=(8,)), Mlp(hidden=(8,), norm="batch"), Cnn(channels=(4,), hidden=8)])
def test_training_equals_a_plain_torch_loop(
    model: Mlp | Cnn,
    optimizer: Sgd | AdamW,
    reference: Callable[[nn.Module], torch.optim.Optimizer],
    data: TrainingData,
) -> None:
    recipe = Recipe(model=model, optimizer=optimizer, schedule=Cosine(warmup=0.25), batch_size=16, epochs=EPOCHS)
    solo = start(recipe, data, trial_id=5)
    ours = [solo.train_epoch(epoch)[0].train_loss for epoch in range(1, EPOCHS + 1)]

    module = initial_module(recipe, data, LUCK.seed, 5)
    theirs = plain_losses(recipe, data, module, reference(module))

    assert ours == pytest.approx(theirs, rel=1e-4)


def test_biases_and_the_head_learn_at_rates_of_their_own(data: TrainingData) -> None:
    optimizer = Sgd(lr=0.1, momentum=0.8, nesterov=False, weight_decay=0.0)
    factors = LrFactor(bias=4.0, head=0.5)
    recipe = Recipe(model=Mlp(hidden=(8,)), optimizer=optimizer, lr_factor=factors, batch_size=16, epochs=EPOCHS)
    solo = start(recipe, data)
    ours = [solo.train_epoch(epoch)[0].train_loss for epoch in range(1, EPOCHS + 1)]

    module = initial_module(recipe, data, LUCK.seed, 0)
    (weight, bias), (head_weight, head_bias) = (list(module[k].parameters()) for k in (1, 3))  # type: ignore[index]
    rates = [(weight, 0.1), (bias, 0.4), (head_weight, 0.05), (head_bias, 0.2)]
    reference = torch.optim.SGD([{"params": [p], "lr": rate} for p, rate in rates], momentum=0.8)

    assert ours == pytest.approx(plain_losses(recipe, data, module, reference), rel=1e-4)


def test_the_average_from_some_epoch_on_is_torchs_with_statistics_of_its_own(data: TrainingData) -> None:
    model = Mlp(hidden=(8,), norm="batch", dropout=0.3)
    recipe = Recipe(model=model, batch_size=16, epochs=4, swa_start=0.4)  # after epoch 1.6
    solo, module = start(recipe, data), recipe.model.build(data.input_shape, data.num_classes)
    reference = torch.optim.swa_utils.AveragedModel(recipe.model.build(data.input_shape, data.num_classes))
    without_dropout = Recipe(model=Mlp(hidden=(8,), norm="batch")).model.build(data.input_shape, data.num_classes)

    found = []
    for epoch in range(1, 5):
        solo.train_epoch(epoch)
        found.append(solo.evaluate()[0])
        module.load_state_dict(solo.state(0, epoch).module)
        if epoch >= 2:
            reference.update_parameters(module)
    weights = list(dict(reference.module.named_parameters()).values())
    for parameter, weight in zip(without_dropout.parameters(), weights, strict=True):
        parameter.data.copy_(weight)
    torch.optim.swa_utils.update_bn(data.train_x.split(16), without_dropout)

    assert ["swa_val_loss" in metrics for metrics in found] == [False, True, True, True]
    logits = without_dropout.eval()(data.validation_x)
    expected = nn.functional.cross_entropy(logits, data.validation_y).item()
    assert found[-1]["swa_val_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_running_average_halves_in_its_half_life(data: TrainingData) -> None:
    recipe = Recipe(model=Mlp(hidden=(8,)), batch_size=40, epochs=2, ema_half_life=1.0)  # one step
    solo = start(recipe, data)
    weight = [solo.state(0, 0).module["1.weight"].clone()]

    for epoch in (1, 2):
        solo.train_epoch(epoch)
        weight.append(solo.state(0, epoch).module["1.weight"].clone())

    expected = weight[0] / 4 + weight[1] / 4 + weight[2] / 2
    torch.testing.assert_close(solo.state(0, 2).averaged["1.weight"], expected)


@pytest.mark.parametrize("clip", [0.01, 0.1])
def test_a_clipped_gradient_has_the_norm_asked_for(clip: float, data: TrainingData) -> None:
    """A step of plain SGD at rate 1 is the gradient."""
    optimizer = Sgd(lr=1.0, momentum=0.0, weight_decay=0.0)
    recipe = Recipe(model=Mlp(hidden=(8,)), optimizer=optimizer, schedule=Constant(), batch_size=40, grad_clip=clip)
    solo = start(recipe, data)
    before = {name: value.clone() for name, value in solo.state(0, 0).module.items()}

    solo.train_epoch(1)

    steps = [value - before[name] for name, value in solo.state(0, 1).module.items()]
    assert torch.cat([step.flatten() for step in steps]).norm().item() == pytest.approx(clip, rel=1e-3)


def test_mixed_examples_have_the_mixed_loss(data: TrainingData) -> None:
    recipe = Recipe(model=Mlp(hidden=(8,)), augmentation=Augment(mix="mixup"))
    indices, logits = torch.arange(16), torch.randn(16, 3)
    torch.manual_seed(7)
    x, targets = draw_batch(recipe, data, 1, indices)
    torch.manual_seed(7)
    theirs, mixed = recipe.augmentation.mixed(data.train_x[:16], data.train_y[:16])

    loss = recipe.loss(logits, targets)

    own, other = (nn.functional.cross_entropy(logits, y, reduction="none") for y in (mixed.y, mixed.other_y))
    assert x.equal(theirs)
    assert loss.item() == pytest.approx((mixed.share * own + (1 - mixed.share) * other).mean().item())


def test_lbfgs_goes_down_on_a_full_batch(data: TrainingData) -> None:
    optimizer = Lbfgs(max_iter=5)
    recipe = Recipe(model=Mlp(hidden=(8,)), optimizer=optimizer, schedule=Constant(), batch_size=40, epochs=EPOCHS)
    solo = start(recipe, data)

    losses = [solo.train_epoch(epoch)[0].train_loss for epoch in (1, 2, 3)]

    assert losses[0] > 2 * losses[1] > 4 * losses[2]


def test_lbfgs_goes_on_exactly_where_it_was(data: TrainingData) -> None:
    model = Mlp(hidden=(8,), dropout=0.3)
    recipe = Recipe(model=model, optimizer=Lbfgs(max_iter=5), batch_size=40, epochs=EPOCHS)
    undisturbed, first = start(recipe, data), start(recipe, data)
    losses = [undisturbed.train_epoch(epoch)[0].train_loss for epoch in (1, 2, 3)]

    first.train_epoch(1)
    second = Solo(recipe, data, LUCK, first.state(0, 1))

    assert [second.train_epoch(epoch)[0].train_loss for epoch in (2, 3)] == losses[1:]


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"batch_size": 16}, "batch_size: must be all 40 training examples for optimizer.kind lbfgs"),
        ({"batch_growth": BatchGrowth(every=0.5)}, "batch_growth.every: must be 0 for optimizer.kind lbfgs"),
        ({"grad_clip": 1.0}, "grad_clip: must be 0 for optimizer.kind lbfgs"),
        ({"regularizer": Regularizer(l1=0.1)}, "regularizer.l1: must be 0 for optimizer.kind lbfgs"),
        (
            {"regularizer": Regularizer(gradient_noise=0.1)},
            "regularizer.gradient_noise: must be 0 for optimizer.kind lbfgs",
        ),
    ],
)
def test_lbfgs_refuses_what_breaks_its_line_search(update: dict[str, Any], message: str, data: TrainingData) -> None:
    recipe = Recipe(model=Mlp(hidden=(8,)), optimizer=Lbfgs(), batch_size=40).model_copy(update=update)

    with pytest.raises(ValueError, match=message):
        start(recipe, data)


def test_images_that_are_too_small_for_an_augmentation_are_refused(data: TrainingData) -> None:
    with pytest.raises(ValueError, match="translate"):
        start(Recipe(model=Mlp(), augmentation=Augment(translate=8)), data)


def test_regularized_training_keeps_units_short(data: TrainingData) -> None:
    regularizer = Regularizer(max_norm=0.5, l1=1e-4, gradient_noise=0.01)
    recipe = Recipe(model=Cnn(channels=(4,), hidden=8), regularizer=regularizer, batch_size=16, epochs=EPOCHS)
    solo = start(recipe, data)

    solo.train_epoch(1)

    weights = [value for value in solo.state(0, 1).module.values() if value.ndim > 1]
    assert max(weight.flatten(1).norm(dim=1).max().item() for weight in weights) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "optimizer",
    [
        Sgd(),
        Sgd(momentum=0.0, nesterov=False),
        Sgd(decay_mode="decoupled"),
        AdamW(),
        Adam(amsgrad=True),
        Muon(),
    ],
)
def test_a_resumed_trial_goes_on_exactly_where_it_was(optimizer: Optimizer, data: TrainingData) -> None:
    model = Mlp(hidden=(8,), norm="batch", dropout=0.3)
    recipe = Recipe(model=model, optimizer=optimizer, batch_size=16, epochs=EPOCHS)
    undisturbed = start(recipe, data)
    losses = [undisturbed.train_epoch(epoch)[0].train_loss for epoch in (1, 2, 3)]

    first = start(recipe, data)
    first.train_epoch(1)
    second = Solo(recipe, data, LUCK, first.state(0, 1))

    assert [second.train_epoch(epoch)[0].train_loss for epoch in (2, 3)] == losses[1:]
    assert second.evaluate() == undisturbed.evaluate()


def test_initial_weights_differ_between_trials(data: TrainingData) -> None:
    recipe = Recipe(model=Mlp(hidden=(8,)))
    first, second, again = (initial_module(recipe, data, 0, trial_id) for trial_id in (0, 1, 0))

    weights = [module.state_dict()["1.weight"] for module in (first, second, again)]
    assert weights[0].equal(weights[2])
    assert not weights[0].equal(weights[1])


def test_training_ends_at_the_first_loss_that_is_not_finite(data: TrainingData) -> None:
    recipe = Recipe(
        model=Mlp(hidden=(8,)), optimizer=Sgd(lr=1e30), schedule=Cosine(warmup=0), batch_size=16, epochs=EPOCHS
    )
    solo = start(recipe, data)

    [epoch] = solo.train_epoch(1)

    assert epoch.first_bad_step in (1, 2)
    assert math.isnan(epoch.train_loss)


def test_evaluation_counts_every_example_once(data: TrainingData) -> None:
    recipe = Recipe(model=Mlp(hidden=(8,)))
    logits = initial_module(recipe, data, LUCK.seed, 0).eval()(data.validation_x)

    [metrics] = start(recipe, data).evaluate()

    assert metrics["val_loss"] == pytest.approx(nn.functional.cross_entropy(logits, data.validation_y).item())
    assert metrics["val_accuracy"] == (logits.argmax(1) == data.validation_y).sum().item() / 10
