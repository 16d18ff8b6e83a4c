"""Networks that users bring: which of them can train as lanes, and which must not."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import nn

from hpo.training.choice import LaneChoice
from hpo.training.examples import TrainingData
from hpo.training.models import Custom
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.selfcheck import why_not_lanes


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.inner(x)
        return x + inner


def residual(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    stem = nn.Conv2d(input_shape[0], 4, 3, padding=1)
    return nn.Sequential(stem, Residual(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


def with_torchs_dropout(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.Dropout(0.5), nn.Linear(8, num_classes))


class Branching(nn.Module):
    """Goes another way for some data: no program for all lanes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(32, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.dense(x.flatten(1))
        return logits if logits.sum() > 0 else 2 * logits


def branching(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return Branching(num_classes)


@pytest.fixture
def data() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(80, 2, 4, 4, generator=generator), torch.randint(3, (80,), generator=generator)
    return TrainingData(train_x=x[:60], train_y=y[:60], validation_x=x[60:], validation_y=y[60:], num_classes=3)


def custom(function: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch) -> Recipe:
    import sys
    import types

    module = types.ModuleType("users_nets")
    setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "users_nets", module)
    return Recipe(model=Custom(factory=f"users_nets:{function.__name__}"), batch_size=16)


def check(recipe: Recipe, data: TrainingData) -> str | None:
    return why_not_lanes([recipe] * 2, data, [initial_state(recipe, data, 0, trial_id) for trial_id in range(2)])


@pytest.mark.parametrize("function", [residual, with_torchs_dropout])
def test_a_users_network_trains_as_lanes_where_it_equals_solo(
    function: Callable[..., nn.Module], data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(custom(function, monkeypatch), data) is None


def test_control_flow_on_data_is_found(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = check(custom(branching, monkeypatch), data)

    assert reason is not None
    assert reason.startswith("torch.func cannot run it")


def test_a_network_that_cannot_trains_alone_and_the_log_says_why(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = custom(branching, monkeypatch)
    states = [initial_state(recipe, data, 0, trial_id) for trial_id in range(2)]

    with caplog.at_level(logging.WARNING):
        lanes = LaneChoice(8, data).for_group([recipe] * 2, states)

    assert lanes == 1
    assert "users_nets:branching trains one trial at a time: torch.func cannot run it" in caplog.text


def test_a_factory_that_is_not_there_is_named(data: TrainingData) -> None:
    with pytest.raises(ValueError, match="nowhere.nets:make must name a function that Python can import"):
        Custom(factory="nowhere.nets:make").build((1, 4, 4), 3)
