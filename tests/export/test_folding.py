from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hpo.errors import BundleError
from hpo.export import load_bundle, write_bundle
from hpo.export.folding import num_norms
from hpo.export.inference import Inference
from hpo.training.data.normalization import Normalization
from hpo.training.models import Cnn, Mlp, Model, Resnet, Resnet9

INPUT_SHAPE = (2, 8, 8)
FOLDING = Inference(fold_norms=True)


def make_module(model: Model) -> nn.Sequential:
    """A network whose norms all differ from the identity, in every one of their numbers."""
    torch.manual_seed(0)
    module = model.build(INPUT_SHAPE, num_classes=5)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
    for _ in range(20):
        module(torch.randn(16, *INPUT_SHAPE))
    assert isinstance(module, nn.Sequential)
    return module


def assert_same_predictions(folded: nn.Module, module: nn.Module) -> None:
    x = torch.randn(9, *INPUT_SHAPE)
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), module.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        Mlp(hidden=(8, 8), norm="batch"),
        Mlp(hidden=(8, 8), norm="batch", residual=True, dropconnect=0.5, dropout=0.5),
        Mlp(hidden=(8, 8), norm="batch", ghost_batch=8),
        Cnn(channels=(4, 8), hidden=8, norm="batch"),
        Resnet(width=4),
        Resnet9(width=4),
    ],
    ids=["mlp", "residual mlp with dropconnect", "ghost norm", "cnn", "resnet", "resnet9"],
)
def test_every_norm_after_a_layer_is_folded_into_it(model: Model) -> None:
    module = make_module(model)

    folded = FOLDING.prepare(module)

    assert num_norms(module) > 0
    assert num_norms(folded) == 0
    assert_same_predictions(folded, module)


def test_a_folded_layer_is_the_product_of_both_maps() -> None:
    dense, norm = nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0)
    with torch.no_grad():
        for number, value in [(dense.weight, 3.0), (dense.bias, 1.0), (norm.weight, 4.0), (norm.bias, 0.5)]:
            number.fill_(value)
        norm.running_mean, norm.running_var = torch.tensor([5.0]), torch.tensor([0.25])

    folded = FOLDING.prepare(nn.Sequential(dense, norm))

    numbers = {name: value.item() for name, value in folded.state_dict().items()}
    assert numbers == {"0.weight": 24.0, "0.bias": -31.5}  # 4 / 0.5 * (3 x + 1 - 5) + 0.5


@pytest.mark.parametrize(
    "model",
    [
        Mlp(hidden=(8, 8), norm="batch", norm_position="after"),
        Cnn(channels=(4, 8), hidden=8, norm="batch", norm_position="after"),
        Mlp(hidden=(8, 8), norm="layer"),
        Resnet(width=4, norm="group", group_size=4),
    ],
    ids=["mlp, norm after", "cnn, norm after", "layer norm", "group norm"],
)
def test_where_nothing_can_be_folded_nothing_changes(model: Model) -> None:
    module = make_module(model)

    folded = FOLDING.prepare(module)

    assert num_norms(folded) == num_norms(module)
    assert_same_predictions(folded, module)


def test_a_norm_that_turns_signs_around_stays_behind_its_max_pool() -> None:
    module = make_module(Cnn(channels=(4, 8), hidden=8))
    with torch.no_grad():
        module[2].get_parameter("weight")[1] = -1.0

    folded = FOLDING.prepare(module)

    assert [name for name, layer in folded.named_modules() if isinstance(layer, nn.BatchNorm2d)] == ["2"]
    assert_same_predictions(folded, module)


def test_folding_leaves_the_module_as_it_was() -> None:
    module = make_module(Cnn(channels=(4,), hidden=8))
    before = {name: value.clone() for name, value in module.state_dict().items()}

    FOLDING.prepare(module)

    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def write(folder: Path, module: nn.Module) -> Path:
    return write_bundle(
        folder,
        module=module,
        normalization=Normalization(mean=np.zeros(1, np.float32), std=np.ones(1, np.float32)),
        input_shape=INPUT_SHAPE,
        num_classes=5,
        card={},
        inference=FOLDING,
    )


def test_the_exported_model_has_no_norm_left_and_predicts_the_same(tmp_path: Path) -> None:
    module = make_module(Resnet(width=4))
    x = torch.randn(5, *INPUT_SHAPE)

    folder = write(tmp_path / "best", module)

    program = torch.export.load(folder / "model.pt2")
    with torch.inference_mode():
        expected = module.eval()(x).log_softmax(1)
    assert not [node for node in program.graph.nodes if "batch_norm" in str(node.target)]
    assert sum(value.numel() for value in program.state_dict.values()) < sum(map(torch.numel, module.parameters()))
    np.testing.assert_allclose(load_bundle(folder).predict(x.numpy()), expected, rtol=0, atol=1e-5)


class Taps(nn.Module):
    """Uses what stands between the layers of a Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(128, 5), nn.BatchNorm1d(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dense, norm = self.layers
        between = dense(x.flatten(1))
        out: torch.Tensor = torch.tanh(between) + norm(between)
        return out


def test_a_network_that_folding_would_change_is_refused(tmp_path: Path) -> None:
    module = Taps()
    module(3 + torch.randn(16, *INPUT_SHAPE))
    rule = "must predict as the module does, but differs by .* one by one. Export it without fold_norms."

    with pytest.raises(BundleError, match=rule):
        write(tmp_path / "best", module)

    assert not (tmp_path / "best").exists()
