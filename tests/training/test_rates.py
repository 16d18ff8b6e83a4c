"""The rate and the size of every step, over a whole training."""

import pytest
import torch

from hpo.training.models import Mlp
from hpo.training.optimizers import Sgd
from hpo.training.program import rate_at
from hpo.training.recipe import Recipe
from hpo.training.schedules import Cosine

NUM_STEPS = 20
RECIPE = Recipe(model=Mlp(), optimizer=Sgd(lr=0.4), schedule=Cosine(warmup=0))


def rates(recipe: Recipe) -> list[float]:
    return [rate_at(recipe, step / NUM_STEPS) for step in range(NUM_STEPS)]


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
