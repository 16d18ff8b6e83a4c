"""Number formats against what torch itself does under them."""

import pytest
import torch
from torch import nn

from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Mlp
from hpo.training.precision import matmul_precision
from hpo.training.program import initial_module, initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo


def test_in_bfloat16_products_are_those_of_torchs_autocast() -> None:
    x = torch.randn(32, 20, generator=torch.Generator().manual_seed(0))
    y = torch.arange(32) % 3
    data = TrainingData(train_x=x, train_y=y, validation_x=x, validation_y=y, num_classes=3)
    recipe = Recipe(model=Mlp(hidden=(16,)), precision="bfloat16", batch_size=32, epochs=2)
    solo = Solo(recipe, data, Luck(0, 0), initial_state(recipe, data, 0, 0))

    [epoch] = solo.train_epoch(1)

    module = initial_module(recipe, data, 0, 0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nn.functional.cross_entropy(module(x), y)
    exact = nn.functional.cross_entropy(module(x), y)
    assert epoch.train_loss == pytest.approx(loss.item(), rel=1e-6)
    assert epoch.train_loss != pytest.approx(exact.item(), rel=1e-6)
    assert {value.dtype for value in solo.state(0, 1).module.values()} == {torch.float32}


def test_tf32_is_asked_for_while_a_step_lasts_and_then_taken_back() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    with matmul_precision("tf32"):
        within = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    assert within == ("high", True)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_float32_stays_as_it_is() -> None:
    before = torch.get_float32_matmul_precision()

    with matmul_precision("float32"):
        assert torch.get_float32_matmul_precision() == before
