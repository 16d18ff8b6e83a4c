"""Trials that go on from another's state, with numbers of their own."""

from pathlib import Path

import pytest
import torch
from torch import nn

from hpo.paths import SweepPaths
from hpo.records import ParamValue, Report, Segment, TrialSpec
from hpo.training.checkpoint import read_checkpoint
from hpo.training.data import Digits, Examples, Splits
from hpo.training.luck import Luck
from hpo.training.models import Mlp
from hpo.training.optimizers import Adam, Optimizer, Sgd
from hpo.training.recipe import Recipe, state_signature, with_params
from hpo.training.schedules import Constant
from hpo.training.workload import TorchWorkload

RECIPE = Recipe(model=Mlp(hidden=(16,), dropout=0.2, norm="batch"), epochs=4)
NUM = 256


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits().load(0)


def train(
    splits: Splits, folder: Path, recipes: dict[int, Recipe], checkpoints: dict[int, str] | None = None, lanes: int = 1
) -> dict[int, Report]:
    """One more epoch of each trial, on a few examples in float64."""
    workload = TorchWorkload(
        train=Examples(splits.train.x[:NUM].astype("float64"), splits.train.y[:NUM]),
        validation=Examples(splits.validation.x.astype("float64"), splits.validation.y),
        num_classes=10,
        paths=SweepPaths(folder),
        lanes=lanes,
    )
    segment = Segment(
        segment_id=1,
        cohort=tuple(TrialSpec(trial_id=k, recipe=recipe.model_dump_json()) for k, recipe in recipes.items()),
        from_epoch=1 if checkpoints else 0,
        to_epoch=2 if checkpoints else 1,
        seed=0,
        checkpoints=checkpoints or {},
    )
    found = {}
    for message in workload.open(num_threads=1, use_gpu=False)(segment):
        assert isinstance(message, Report)
        found[message.trial_id] = message
    return found


@pytest.mark.parametrize("optimizer", [Sgd(lr=0.1, weight_decay=0.0), Adam(lr=0.01)], ids=["sgd", "adam"])
def test_a_trial_goes_on_from_anothers_state_with_a_rate_and_batches_of_its_own(
    splits: Splits, tmp_path: Path, optimizer: Optimizer
) -> None:
    parent = Recipe(model=Mlp(hidden=(16,)), optimizer=optimizer, schedule=Constant(), batch_size=64, epochs=4)
    checkpoint = str(train(splits, tmp_path, {0: parent})[0].checkpoint)
    child = with_params(parent, {"optimizer.lr": 0.03, "batch_size": 32})

    report = train(splits, tmp_path, {1: child}, {1: checkpoint})[1]

    assert (report.epoch, report.metrics["lr"]) == (2, 0.03)
    assert report.metrics["train_loss"] == pytest.approx(by_torch(child, checkpoint, splits), rel=1e-9)


def by_torch(recipe: Recipe, checkpoint: str, splits: Splits) -> float:
    """The mean loss of epoch 2, trained with plain torch from a checkpoint."""
    state, optimizer = read_checkpoint(Path(checkpoint)), recipe.optimizer
    module = recipe.model.build(splits.input_shape, 10).double()
    module.load_state_dict(state.module)
    torchs: torch.optim.Optimizer = torch.optim.Adam(module.parameters(), lr=optimizer.lr)
    if isinstance(optimizer, Sgd):
        torchs = torch.optim.SGD(
            module.parameters(), lr=optimizer.lr, momentum=optimizer.momentum, nesterov=optimizer.nesterov
        )
    for name, parameter in module.named_parameters():
        kinds = {key.removesuffix(f".{name}"): value for key, value in state.optimizer.items() if key.endswith(name)}
        torchs.state[parameter] = kinds
    x, y = torch.from_numpy(splits.train.x[:NUM]).double(), torch.from_numpy(splits.train.y[:NUM])
    losses = []
    for batch in Luck(0, 0).batches(2, y, recipe.batch_size):
        torchs.zero_grad()
        loss = nn.functional.cross_entropy(module(x[batch]), y[batch])
        loss.backward()
        torchs.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def test_trials_with_different_pasts_train_side_by_side_as_they_would_alone(splits: Splits, tmp_path: Path) -> None:
    slow, fast = (RECIPE.model_copy(update={"optimizer": Adam(lr=0.01), "batch_size": size}) for size in (32, 128))
    parents = train(splits, tmp_path, {0: slow, 1: fast})
    checkpoints = {trial_id: str(report.checkpoint) for trial_id, report in parents.items()}
    children = {0: slow, 1: with_params(fast, {"batch_size": 32, "optimizer.lr": 0.02})}

    alone, together = (train(splits, tmp_path / name, children, checkpoints, n) for name, n in (("a", 1), ("b", 2)))

    for trial_id, report in alone.items():
        losses = {name: report.metrics[name] for name in ("train_loss", "val_loss")}
        assert losses == pytest.approx({name: together[trial_id].metrics[name] for name in losses}, abs=1e-9)


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer.lr": 0.01, "optimizer.momentum": 0.5, "optimizer.weight_decay": 0.1},
        {"model.dropout": 0.5},
        {"batch_size": 128},
        {"batch_growth.every": 0.3},
        {"loss.label_smoothing": 0.1},
        {"loss.kind": "focal"},
        {"augmentation.strength": 1},
        {"regularizer.max_norm": 3.0},
        {"grad_clip": 1.0},
        {"ema_half_life": 1.0},
        {"lr_factor.bias": 4.0},
        {"schedule.kind": "linear"},
    ],
    ids=str,
)
def test_what_only_says_how_to_train_on_may_change_between_two_trials_of_one_state(
    splits: Splits, tmp_path: Path, params: dict[str, ParamValue]
) -> None:
    child = with_params(RECIPE, params)
    checkpoint = str(train(splits, tmp_path, {0: RECIPE})[0].checkpoint)

    [report] = train(splits, tmp_path, {1: child}, {1: checkpoint}).values()

    assert state_signature(child) == state_signature(RECIPE)
    assert report.epoch == 2
    assert report.first_bad_step is None


@pytest.mark.parametrize(
    "params",
    [
        {"model.hidden": (8,)},
        {"model.norm": "none"},
        {"model.dropout": 0.0},
        {"initializer.kind": "orthogonal"},
        {"optimizer.kind": "adam"},
        {"optimizer.momentum": 0.0},
        {"frozen_layers": 1},
        {"swa_start": 0.5},
    ],
    ids=str,
)
def test_what_a_state_is_made_of_or_came_from_may_not(params: dict[str, ParamValue]) -> None:
    assert state_signature(with_params(RECIPE, params)) != state_signature(RECIPE)
