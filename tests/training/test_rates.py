"""The rate and the size of every step, over a whole training."""

import pytest
import torch
from torch import nn

from hpo.training.batch_growth import BatchGrowth
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Mlp
from hpo.training.optimizers import Sgd
from hpo.training.program import first_steps, initial_module, initial_state, rate_at
from hpo.training.recipe import Recipe
from hpo.training.schedules import Cosine, Step
from hpo.training.seeds import make_generator
from hpo.training.solo import Solo

EPOCHS, STEPS = 5, 4
NUM_STEPS = EPOCHS * STEPS
LUCK = Luck(seed=3, seed_index=0)
RECIPE = Recipe(model=Mlp(hidden=(4,)), optimizer=Sgd(lr=0.4), schedule=Cosine(warmup=0), epochs=EPOCHS)


def rates(recipe: Recipe) -> list[float]:
    return [rate_at(recipe, epoch, step, STEPS) for epoch in range(1, EPOCHS + 1) for step in range(STEPS)]


def test_the_rate_of_an_average_is_torchs_swalr_without_annealing() -> None:
    recipe = RECIPE.model_copy(update={"swa_start": 0.6, "swa_lr": 0.25})
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    before = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, NUM_STEPS)
    after = torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.1, anneal_epochs=0)
    optimizer.param_groups[0]["lr"] = 0.4
    expected = []

    for step in range(NUM_STEPS):
        if step == 12:
            after.step()
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 11:
            before.step()

    assert rates(recipe) == pytest.approx(expected)


def test_without_a_rate_of_its_own_an_average_follows_the_schedule() -> None:
    assert rates(RECIPE.model_copy(update={"swa_start": 0.6})) == rates(RECIPE)
    assert rates(RECIPE.model_copy(update={"swa_lr": 0.25})) == rates(RECIPE)


@pytest.mark.parametrize(
    ("growth", "sizes"),
    [
        (BatchGrowth(), [16] * 10),
        (BatchGrowth(every=0.2), [16, 16, 32, 32, 64, 64, 128, 128, 256, 256]),
        (BatchGrowth(every=0.4, factor=5), [16] * 4 + [80] * 4 + [400] * 2),
        (BatchGrowth(every=0.2, most=50), [16, 16, 32, 32, 50, 50, 50, 50, 50, 50]),
        (BatchGrowth(every=0.2, most=8), [16] * 10),
        (BatchGrowth(every=1e-12), [16 * 2**number for number in range(10)]),
    ],
    ids=str,
)
def test_batches_grow_after_every_share_of_training(growth: BatchGrowth, sizes: list[int]) -> None:
    assert [growth.size(16, epoch, 10) for epoch in range(1, 11)] == sizes


def test_the_noise_of_growing_batches_is_that_of_a_falling_rate() -> None:
    growth, schedule = BatchGrowth(every=0.3, factor=5), Step(every=0.3, gamma=0.2)

    grown = [1 / growth.size(1, epoch, 10) for epoch in range(1, 11)]

    assert grown == pytest.approx([schedule((epoch - 1) / 10) for epoch in range(1, 11)])


def test_steps_are_counted_over_batches_that_grow() -> None:
    recipe = RECIPE.model_copy(update={"batch_size": 8, "batch_growth": BatchGrowth(every=0.4)})  # 8 8 16 16 32

    assert first_steps(recipe, 40) == [0, 5, 10, 13, 16, 18]
    assert first_steps(recipe, 41) == [0, 5, 10, 13, 16, 18]  # a last single example joins the batch before it
    assert first_steps(RECIPE.model_copy(update={"batch_size": 8}), 42) == [0, 6, 12, 18, 24, 30]


def test_training_with_growing_batches_equals_a_plain_torch_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 1, 4, 4, generator=generator), torch.randint(3, (40,), generator=generator)
    data = TrainingData(train_x=x, train_y=y, validation_x=x, validation_y=y, num_classes=3)
    optimizer = Sgd(lr=0.4, momentum=0.0, nesterov=False, weight_decay=0.0)
    growth = BatchGrowth(every=0.4)
    recipe = RECIPE.model_copy(update={"optimizer": optimizer, "batch_size": 8, "batch_growth": growth})
    solo = Solo(recipe, data, LUCK, initial_state(recipe, data, LUCK.seed, 0))
    module = initial_module(recipe, data, LUCK.seed, 0)
    reference = torch.optim.SGD(module.parameters(), lr=0.4)

    ours = [solo.train_epoch(epoch)[0].train_loss for epoch in range(1, EPOCHS + 1)]

    theirs = []
    for epoch, size in enumerate([8, 8, 16, 16, 32]):
        order = torch.randperm(40, generator=make_generator(LUCK.seed, LUCK.seed_index, "order", epoch + 1))
        batches, total = order.split(size), 0.0
        for number, batch in enumerate(batches):
            progress = (epoch + number / len(batches)) / EPOCHS
            reference.param_groups[0]["lr"] = 0.4 * recipe.schedule(progress)
            reference.zero_grad()
            loss = nn.functional.cross_entropy(module(x[batch]), y[batch])
            loss.backward()
            reference.step()
            total += loss.item() * len(batch)
        theirs.append(total / 40)
    assert ours == pytest.approx(theirs, rel=1e-4)
