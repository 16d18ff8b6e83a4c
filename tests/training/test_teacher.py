"""What a teacher says of prepared examples, against what its bundle says of the examples as they came."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hpo.errors import BundleError, DataError
from hpo.export import load_bundle, write_bundle
from hpo.training.data.normalization import Normalization
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, Splits, split
from hpo.training.losses import CrossEntropy, Distillation
from hpo.training.models import Mlp
from hpo.training.probe import probe
from hpo.training.recipe import Recipe
from hpo.training.teacher import refuse_teacher, teacher_log_probs

SHAPE = (1, 4, 4)
RAW = np.random.default_rng(0).normal(5, 3, (60, *SHAPE)).astype(np.float32)
OTHER_SCALE = Normalization(mean=np.full((1, 1, 1), 4, np.float32), std=np.full((1, 1, 1), 2, np.float32))


class Committee(nn.Module):
    """Two networks of different make, whose probabilities are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([Mlp(hidden=hidden).build(SHAPE, 5) for hidden in ((8,), (6, 4))])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        log_probs = torch.stack([member(x).log_softmax(1) for member in self.members])
        return log_probs.logsumexp(0)


class Loud(nn.Module):
    """Finite on inputs of the size that it expects, and infinite on others."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :5] * 1e37


def write(folder: Path, module: nn.Module) -> Distillation:
    torch.manual_seed(0)
    write_bundle(folder, module=module, normalization=OTHER_SCALE, input_shape=SHAPE, num_classes=5, card={})
    return Distillation(teacher=folder)


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> Distillation:
    return write(tmp_path_factory.mktemp("teachers") / "committee", Committee())


def prepare(options: DataOptions, raw: np.ndarray = RAW) -> Splits:
    return split(Examples(raw, np.arange(60) % 5), validation=0.2, test=0.0, seed=0, options=options)


@pytest.mark.parametrize(
    "options",
    [
        DataOptions(),
        DataOptions(input_norm="minmax"),
        DataOptions(input_norm="none"),
        DataOptions(whiten="zca"),
        DataOptions(whiten="pca"),
    ],
    ids=lambda options: f"{options.input_norm} {options.whiten}",
)
def test_a_teacher_sees_the_training_examples_as_they_came_in_their_order(
    options: DataOptions, loss: Distillation
) -> None:
    splits = prepare(options)
    everything = splits.normalization(RAW)
    order = [int(np.abs(everything - x).reshape(60, -1).sum(1).argmin()) for x in splits.train.x]
    expected = load_bundle(loss.teacher).predict(RAW[order])

    log_probs = teacher_log_probs(loss, splits.train.x, splits.normalization)

    assert log_probs is not None
    np.testing.assert_allclose(log_probs, expected, rtol=0, atol=1e-4)
    refuse_teacher(loss, splits)


def test_a_loss_without_a_teacher_needs_no_predictions() -> None:
    splits = prepare(DataOptions())

    refuse_teacher(CrossEntropy(), splits)

    assert teacher_log_probs(CrossEntropy(), splits.train.x, splits.normalization) is None


def test_the_cost_of_a_student_is_measured_with_its_teacher(loss: Distillation) -> None:
    cost = probe(Recipe(model=Mlp(hidden=(8,)), loss=loss, batch_size=16), prepare(DataOptions()))

    assert cost.checkpoint_bytes > 0


def test_inputs_of_which_components_were_left_out_are_refused(loss: Distillation) -> None:
    with pytest.raises(
        DataError,
        match=(
            "inputs as they came cannot be had back from 7 of 16 components. Set data.pca_dim: 0, or data.whiten: none."
        ),
    ):
        refuse_teacher(loss, prepare(DataOptions(whiten="pca", pca_dim=7)))


def test_a_teacher_of_other_inputs_is_refused(loss: Distillation) -> None:
    splits = prepare(DataOptions(), RAW.reshape(60, 16))

    with pytest.raises(
        BundleError,
        match=(
            r"committee: must take inputs \[16\] and know 5 classes, as the data have, but takes \[1, 4, 4\] and "
            "knows 5. Use a teacher that was trained on such data."
        ),
    ):
        refuse_teacher(loss, splits)


def test_a_teacher_whose_predictions_are_not_finite_is_refused(tmp_path: Path) -> None:
    loss = write(tmp_path / "loud", Loud())
    splits = prepare(DataOptions(input_norm="none"))

    with pytest.raises(BundleError, match="a teacher must give finite log-probabilities .* but gives .* Use another."):
        teacher_log_probs(loss, np.full_like(splits.train.x, 1000), splits.normalization)
