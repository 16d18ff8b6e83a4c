"""Batches that do not fit into memory: lanes are halved, and a trial alone accumulates its gradients."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from hpo.paths import SweepPaths
from hpo.records import Begun, Failure, Message, Report, Segment, TrialSpec
from hpo.training.augmentations import Augment
from hpo.training.checkpoint import read_checkpoint
from hpo.training.data import Digits, Splits
from hpo.training.examples import TrainingData
from hpo.training.lanes import Lanes
from hpo.training.losses import CrossEntropy, Distillation, Focal, Loss, loss_of_part, weights_of_classes
from hpo.training.luck import Luck
from hpo.training.models import Custom, Mlp
from hpo.training.optimizers import AdamW, Lbfgs
from hpo.training.program import Epoch, initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo
from hpo.training.workload import TorchWorkload, Trainer

NETS = """
import torch
from torch import nn

class Tight(nn.Module):
    def __init__(self, width, classes, most):
        super().__init__()
        self.layer, self.most = nn.Linear(width, classes), most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError(f"{len(x)} examples are too many")
        return self.layer(x.flatten(1))

def make(input_shape, num_classes, most):
    return Tight(64, num_classes, most)
"""
TEACHER = Path("teacher")
LUCK = Luck(seed=0, seed_index=0)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits().load(0)


@pytest.fixture
def workload(splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TorchWorkload:
    (tmp_path / "tight_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    return TorchWorkload(
        train=splits.train, validation=splits.validation, num_classes=10, paths=SweepPaths(tmp_path), lanes=1
    )


@pytest.fixture
def train(workload: TorchWorkload) -> Trainer:
    return workload.open(num_threads=1, use_gpu=False)


def tight(most: int) -> Recipe:
    model = Custom(factory="tight_nets:make", arguments={"most": most})
    return Recipe(model=model, optimizer=AdamW(lr=0.01), batch_size=32, epochs=4)


def segment(
    *recipes: Recipe,
    from_epoch: int = 0,
    to_epoch: int = 2,
    checkpoints: Mapping[int, str] | None = None,
    left_s: Mapping[int, float] | None = None,
) -> Segment:
    return Segment(
        segment_id=1,
        cohort=tuple(TrialSpec(trial_id=k, recipe=recipe.model_dump_json()) for k, recipe in enumerate(recipes)),
        from_epoch=from_epoch,
        to_epoch=to_epoch,
        seed=0,
        checkpoints=checkpoints or {},
        left_s=left_s or {},
    )


def losses(messages: Iterator[Message]) -> list[float]:
    return [message.metrics["train_loss"] for message in messages if isinstance(message, Report)]


def of_float64(num: int = 50) -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(num, 16, generator=generator).double(), torch.randint(3, (num,), generator=generator)
    teacher = torch.randn(num - 10, 3, generator=generator).double().log_softmax(1)
    return TrainingData(
        train_x=x[10:], train_y=y[10:], validation_x=x[:10], validation_y=y[:10], num_classes=3, teacher=teacher
    )


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"loss": CrossEntropy(label_smoothing=0.1, class_weights="inverse_frequency", entropy_coef=0.2)},
        {"loss": Focal(gamma=1.5, class_weights="inverse_frequency", entropy_coef=0.2)},
        {"loss": Distillation(teacher=TEACHER)},
        {"augmentation": Augment(mix="mixup", mix_alpha=0.4)},
        {"optimizer": Lbfgs(), "batch_size": 40},
        {"grad_clip": 0.1},
    ],
    ids=["plain", "weighted", "focal", "distillation", "mixed", "lbfgs", "clipped"],
)
def test_accumulated_gradients_train_as_whole_batches_do(update: dict[str, object]) -> None:
    data = of_float64()
    base = Recipe(model=Mlp(hidden=(8,)), optimizer=AdamW(lr=0.01), batch_size=16, epochs=2)
    recipe = base.model_copy(update=update)
    state = initial_state(recipe, data, 0, 0)

    whole, parts = Solo(recipe, data, LUCK, state), Solo(recipe, data, LUCK, replace(state, micro_batch=5))
    ours, theirs = (
        [program.train_epoch(epoch)[0].train_loss for epoch in (1, 2)] + list(program.evaluate()[0].values())
        for program in (parts, whole)
    )

    assert ours == pytest.approx(theirs, rel=1e-12)
    for name, value in whole.state(0, 2).module.items():
        torch.testing.assert_close(parts.state(0, 2).module[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("class_weights", ["none", "inverse_frequency"])
def test_what_parts_of_a_batch_bring_adds_up_to_torchs_loss(class_weights: str) -> None:
    y, generator = torch.tensor([0, 0, 0, 1, 1, 2, 0]), torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    loss: Loss = CrossEntropy.model_validate({"label_smoothing": 0.1, "class_weights": class_weights})
    weights = weights_of_classes(loss, y, logits, 3)

    parts = [
        loss_of_part(loss, some, of_some, y, weights) for some, of_some in zip(logits.split(3), y.split(3), strict=True)
    ]

    torch.testing.assert_close(sum(parts), functional.cross_entropy(logits, y, weights, label_smoothing=0.1))


def test_a_trial_alone_halves_its_micro_batch_until_it_fits_and_trains_as_if_there_were_room(train: Trainer) -> None:
    messages = list(train(segment(tight(most=5))))

    assert [message.metrics["micro_batch"] for message in messages if isinstance(message, Report)] == [4, 4]
    assert losses(iter(messages)) == pytest.approx(losses(train(segment(tight(most=9999)))), rel=1e-4)


def test_a_trial_that_did_not_fit_goes_on_with_its_micro_batch(
    train: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    *_, last = train(segment(tight(most=5)))
    assert isinstance(last, Report)
    assert last.checkpoint is not None
    said = caplog.text
    caplog.clear()

    messages = list(train(segment(tight(most=5), from_epoch=2, to_epoch=4, checkpoints={0: last.checkpoint})))

    assert "Trial 0 cannot train on 32 examples at once (32 examples are too many); it accumulates" in said
    assert read_checkpoint(Path(last.checkpoint)).micro_batch == 4
    assert [message.metrics["micro_batch"] for message in messages if isinstance(message, Report)] == [4, 4]
    assert caplog.text == ""


def test_a_trial_for_which_a_single_example_is_too_much_fails(train: Trainer) -> None:
    [failure] = train(segment(tight(most=0)))

    assert isinstance(failure, Failure)
    assert failure.error == "OutOfMemoryError: 1 examples are too many"


def test_lanes_that_do_not_fit_are_halved(
    workload: TorchWorkload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train_epoch = Lanes.train_epoch

    def tight_epoch(self: Lanes, epoch: int, factors: tuple[float, ...] = ()) -> list[Epoch]:
        if len(factors) > 2:
            raise torch.OutOfMemoryError(f"{len(factors)} lanes are too many")
        return train_epoch(self, epoch, factors)

    monkeypatch.setattr(Lanes, "train_epoch", tight_epoch)
    train = replace(workload, lanes=8).open(num_threads=1, use_gpu=False)
    recipe = Recipe(model=Mlp(hidden=(4,)), epochs=2)

    messages = list(train(segment(*[recipe] * 8)))

    assert [message.metrics["lanes"] for message in messages if isinstance(message, Report)] == [2] * 16


def test_where_trials_have_limits_whoever_may_hang_next_is_named_before(train: Trainer) -> None:
    recipe = Recipe(model=Mlp(hidden=(4,)), epochs=2)

    messages = list(train(segment(recipe, recipe, left_s={0: 1e9, 1: 1e9})))

    said = [m.trial_ids if isinstance(m, Begun) else m.trial_id for m in messages]
    assert said == [(0,), (1,), (0, 1), (0,), 0, 0, (1,), 1, 1]


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_trial_over_its_limit_trains_no_more(workload: TorchWorkload, lanes: int) -> None:
    recipe = Recipe(model=Mlp(hidden=(4,)), epochs=3)
    train = replace(workload, lanes=lanes).open(num_threads=1, use_gpu=False)

    messages = list(train(segment(recipe, recipe, to_epoch=3, left_s={0: 1e-9, 1: 1e9})))

    reports = [message for message in messages if isinstance(message, Report)]
    assert sorted((report.trial_id, report.epoch) for report in reports) == [(0, 1), (1, 1), (1, 2), (1, 3)]
    assert [report.checkpoint is not None for report in reports if report.trial_id == 1] == [False, False, True]
