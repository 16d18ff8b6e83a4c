"""A trial on two ranks against the same trial alone, which is held against plain PyTorch elsewhere."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import spawn

from hpo.training.augmentations import Augment
from hpo.training.examples import TrainingData
from hpo.training.losses import CrossEntropy, Focal
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Custom, Mlp
from hpo.training.optimizers import AdamW, Lbfgs, Sgd
from hpo.training.program import initial_state
from hpo.training.ranks import ALONE, Ranks
from hpo.training.recipe import Recipe
from hpo.training.regularizers import Regularizer
from hpo.training.schedules import Constant
from hpo.training.shared_norms import SharedBatchNorm
from hpo.training.solo import Solo

LUCK = Luck(seed=3, seed_index=0)
EPOCHS = 3
MLP = Recipe(model=Mlp(hidden=(8,)), batch_size=12, epochs=EPOCHS)  # 41 examples: batches of 12, and one of 5
CNN = Recipe(model=Cnn(channels=(4,), hidden=8), batch_size=12, epochs=EPOCHS)
SGD = Sgd(lr=0.05, momentum=0.9, weight_decay=0.01)
CASES = {
    "mlp": MLP,
    "clipped and averaged": MLP.model_copy(update={"optimizer": SGD, "grad_clip": 0.1, "ema_half_life": 0.5}),
    "smoothed and mixed": CNN.model_copy(
        update={"loss": CrossEntropy(label_smoothing=0.1), "augmentation": Augment(mix="mixup", flip="random")}
    ),
    "weighted": MLP.model_copy(update={"loss": Focal(class_weights="inverse_frequency", entropy_coef=0.1)}),
    "normed": CNN.model_copy(update={"model": Cnn(channels=(4,), hidden=8, norm="batch"), "swa_start": 0.3}),
    "regularized": MLP.model_copy(update={"regularizer": Regularizer(l1=1e-3, max_norm=0.5, gradient_noise=0.01)}),
    "adamw": CNN.model_copy(update={"optimizer": AdamW(lr=0.01)}),
    "frozen": CNN.model_copy(update={"frozen_layers": 1}),
    "lbfgs": MLP.model_copy(update={"optimizer": Lbfgs(max_iter=4), "batch_size": 41, "schedule": Constant()}),
    "micro-batches": CNN.model_copy(update={"model": Cnn(channels=(4,), hidden=8, norm="layer")}),
    "unused layers": MLP.model_copy(update={"model": Custom(factory=f"{__name__}:make_partial"), "optimizer": SGD}),
    "dropout": MLP.model_copy(update={"model": Mlp(hidden=(8,), dropout=0.5)}),
    "an empty part": CNN.model_copy(update={"batch_size": 13}),  # the last batch has 2 examples, for 3 ranks
}


class Partial(nn.Module):
    """Of whose two layers one has no part in the loss."""

    def __init__(self, num_inputs: int, num_classes: int) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(num_inputs, num_classes), nn.Linear(num_inputs, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.used(x.flatten(1))
        return logits


def make_partial(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return Partial(math.prod(input_shape), num_classes)


def make_data() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(52, 1, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (52,), generator=generator)
    return TrainingData(train_x=x[:41], train_y=y[:41], validation_x=x[41:], validation_y=y[41:], num_classes=3)


def outcome(name: str, ranks: Ranks = ALONE) -> list[dict[str, float]]:
    """Losses of every epoch, in float64."""
    recipe, data = CASES[name], make_data()
    state = replace(initial_state(recipe, data, LUCK.seed, 0), micro_batch=2 if name == "micro-batches" else 0)
    solo = Solo(recipe, data, LUCK, state, ranks=ranks)
    found = []
    for epoch in range(1, EPOCHS + 1):
        [end] = solo.train_epoch(epoch)
        found.append({"train_loss": end.train_loss, **solo.evaluate()[0]})
        if name in {"mlp", "normed", "clipped and averaged"}:  # as from its checkpoint
            solo = Solo(recipe, data, LUCK, solo.state(0, epoch), ranks=ranks)
    return found


def batch_norm(x: torch.Tensor, norm: nn.Module, target: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    out = norm(x)
    ((out - target) ** 2).sum().backward()
    grads = {name: parameter.grad for name, parameter in norm.named_parameters()}
    return {"out": out.detach(), "grad": x.grad, **grads, **dict(norm.named_buffers())}


def norm_case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, target = torch.randn(2, 7, 3, 2, 2, generator=generator, dtype=torch.float64) * 3 + 100
    return x, target


def train_rank(rank: int, number: int, folder: str, names: Sequence[str]) -> None:
    torch.set_num_threads(1)
    store = FileStore(f"{folder}/store", number)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=number)
    ranks = Ranks(rank, number)
    x, target = norm_case()
    part = [slice(0, 5), slice(5, 7), slice(7, 7)][rank]
    torch.save(
        {
            "cases": {name: outcome(name, ranks) for name in names},
            "norm": batch_norm(x[part], SharedBatchNorm.of(nn.BatchNorm2d(3).double()), target[part]),
            "agreed": ranks.agreed(rank + 0.5, 7.0),
        },
        f"{folder}/{rank}.pt",
    )
    distributed.destroy_process_group()


def found_by(number: int, folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """What so many processes have found."""
    spawn(train_rank, (number, str(folder), names), nprocs=number)
    return [torch.load(folder / f"{rank}.pt") for rank in range(number)]


@pytest.fixture(scope="module")
def by_rank(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return found_by(2, tmp_path_factory.mktemp("ranks"), tuple(CASES))


@pytest.mark.parametrize("name", [name for name in CASES if name != "dropout"])
def test_a_trial_on_two_ranks_has_the_losses_of_the_trial_alone(name: str, by_rank: list[dict[str, Any]]) -> None:
    alone = outcome(name)

    for epoch, expected in enumerate(alone):
        assert by_rank[0]["cases"][name][epoch] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_all_ranks_measure_the_same_to_the_last_bit(name: str, by_rank: list[dict[str, Any]]) -> None:
    assert by_rank[0]["cases"][name] == by_rank[1]["cases"][name]


def test_shared_batch_norm_equals_torchs_on_the_whole_batch(by_rank: list[dict[str, Any]]) -> None:
    first, second = (found["norm"] for found in by_rank)
    x, target = norm_case()

    expected = batch_norm(x, nn.BatchNorm2d(3).double(), target)

    for name in ("out", "grad"):
        torch.testing.assert_close(torch.cat([first[name], second[name]]), expected[name])
    for name in ("weight", "bias"):
        torch.testing.assert_close(first[name] + second[name], expected[name])
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(first[name], expected[name])
        assert first[name].equal(second[name])


def test_ranks_drop_units_each_by_its_own_draw(by_rank: list[dict[str, Any]]) -> None:
    first, second = (found["cases"]["dropout"][-1] for found in by_rank)

    assert first == second
    assert first["train_loss"] != pytest.approx(outcome("dropout")[-1]["train_loss"], rel=1e-3)


def test_the_first_ranks_clock_counts_for_all(by_rank: list[dict[str, Any]]) -> None:
    assert [found["agreed"] for found in by_rank] == [[0.5, 7.0], [0.5, 7.0]]


def test_parts_are_equal_to_one_example_and_together_the_whole() -> None:
    parts = [Ranks(rank, 4).part(10) for rank in range(4)]

    assert [index for part in parts for index in range(10)[part]] == list(range(10))
    assert {part.stop - part.start for part in parts} == {2, 3}


def test_a_rank_may_have_no_example_of_a_small_batch(tmp_path: Path) -> None:
    found = found_by(3, tmp_path, ("an empty part",))

    expected = outcome("an empty part")
    assert [rank["cases"]["an empty part"][-1] for rank in found] == [pytest.approx(expected[-1], rel=1e-9)] * 3
