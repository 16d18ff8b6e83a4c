"""A trial alone against a loop that a reader of torch's tutorials would write."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Mlp
from hpo.training.optimizers import AdamW, Sgd
from hpo.training.program import initial_module, initial_state
from hpo.training.recipe import Recipe
from hpo.training.schedules import Cosine
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
    theirs, total = [], EPOCHS * 3
    torch_optimizer = reference(module)
    scheduler = torch.optim.lr_scheduler.LambdaLR(torch_optimizer, lambda step: recipe.schedule(step / total))
    for epoch in range(1, EPOCHS + 1):
        losses = []
        order = torch.randperm(40, generator=make_generator(LUCK.seed, LUCK.seed_index, "order", epoch))
        for batch in order.split(16):
            torch_optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(data.train_x[batch]), data.train_y[batch])
            loss.backward()
            torch_optimizer.step()
            scheduler.step()
            losses += [loss.item()] * len(batch)
        theirs.append(sum(losses) / len(losses))

    assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("optimizer", [Sgd(), Sgd(momentum=0.0, nesterov=False), AdamW()])
def test_a_resumed_trial_goes_on_exactly_where_it_was(optimizer: Sgd | AdamW, data: TrainingData) -> None:
    model = Mlp(hidden=(8,), norm="batch", dropout=0.3)
    recipe = Recipe(model=model, optimizer=optimizer, batch_size=16, epochs=EPOCHS)
    undisturbed = start(recipe, data)
    losses = [undisturbed.train_epoch(epoch)[0].train_loss for epoch in (1, 2, 3)]

    first = start(recipe, data)
    first.train_epoch(1)
    second = Solo(recipe, data, LUCK, first.state(0, 1))

    assert [second.train_epoch(epoch)[0].train_loss for epoch in (2, 3)] == losses[1:]
    assert second.evaluate() == undisturbed.evaluate()


def test_luck_is_shared_by_trials_of_one_seed_index_and_differs_between_indices() -> None:
    assert LUCK.order(1, 100).equal(Luck(3, 0).order(1, 100))
    assert not LUCK.order(1, 100).equal(LUCK.order(2, 100))
    assert not LUCK.order(1, 100).equal(Luck(3, 1).order(1, 100))
    assert sorted(LUCK.order(1, 100).tolist()) == list(range(100))


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
