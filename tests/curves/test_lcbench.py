"""The surrogate of LCBench, against torch's own layers with weights that mean nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from hpo.curves import Lcbench
from hpo.errors import DataError

PARAMS = {
    "batch_size": 64,
    "learning_rate": 0.01,
    "momentum": 0.5,
    "weight_decay": 0.001,
    "num_layers": 3,
    "max_units": 200,
    "max_dropout": 0.25,
}
COLUMNS: list[list[float]] = [
    [0, 1, 1e-12, 1, 2],
    [1, 0, 0, 50, 40],
    [2, 1, 1e-12, -5, 3],
    [3, 0, 0, 0.1, 0.8],
    [4, 1, 1e-12, -9, 4],
    [5, 0, 0, 1, 2],
    [6, 0, 0, 150, 90],
    [7, 0, 0, 0.1, 0.9],
]
"""Index, whether a logarithm, what is added before it, offset, scale."""
OUTPUTS: list[list[float]] = [[0, 9, 1, 0, 0], [1, 100, -3, 0, 0], [2, 4, -2, 1, 0.5]]
"""Index, scale, offset, whether an exponential, what is taken off after it: as accuracy, then as cross-entropy."""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.linear0 = nn.Linear(6, 10)
        self.linear1 = nn.Linear(5, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.linear0(self.norm(x)).chunk(2, dim=1)
        result: torch.Tensor = x + self.linear1(value * gate.relu())
        return result


class Net(nn.Module):
    """As YAHPO Gym describes it: embeddings, three blocks of gated units, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embds_fct = nn.ModuleList([nn.Embedding(2, 4)])
        self.first_layer = nn.Linear(4 + 8, 6)
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.last_normalization = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, code: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        x = self.first_layer(torch.cat([self.embds_fct[0](code), features], dim=1))
        for block in self.layers:
            x = block(x)
        shares: torch.Tensor = self.head(self.last_normalization(x).relu()).sigmoid()
        return shares


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                assert tensor is not None
                tensor.data.uniform_(0.5, 1.5)
    return net


@pytest.fixture
def path(net: Net, tmp_path: Path) -> Path:
    arrays: dict[str, NDArray[Any]] = {f"W/{name}": value.numpy() for name, value in net.state_dict().items()}
    table = {"task_ids": [31, 32], "task_code": [0, 1], "cols": COLUMNS, "outs": OUTPUTS}
    arrays |= {name: np.array(value) for name, value in table.items()}
    np.savez(tmp_path / "surrogate.npz", **arrays)  # type: ignore[arg-type]  # its flag is not among them
    return tmp_path / "surrogate.npz"


def test_a_curve_is_what_torch_makes_of_the_weights(net: Net, path: Path) -> None:
    rows = torch.tensor([[epoch, *PARAMS.values()] for epoch in range(1, 53)], dtype=torch.float64)
    for index, is_log, shift, offset, scale in COLUMNS:
        column = (rows[:, int(index)] + shift).log() if is_log else rows[:, int(index)]
        rows[:, int(index)] = (column - offset) / scale
    with torch.no_grad():
        shares = net(torch.ones(52, dtype=torch.int64), rows.float()).double()

    curve = Lcbench(path=path, task=32).load("val_accuracy").curve(PARAMS)

    accuracy, cross_entropy = (shares[:, 1] * 100 - 3) / 100, (shares[:, 2] * 4 - 2).exp() - 0.5
    assert float(accuracy.max() - accuracy.min()) > 1e-3
    assert [metrics["val_accuracy"] for metrics in curve] == pytest.approx(accuracy.tolist(), rel=1e-5)
    assert [metrics["val_loss"] for metrics in curve] == pytest.approx(cross_entropy.tolist(), rel=1e-5)


def test_whole_numbers_are_rounded(path: Path) -> None:
    curves = Lcbench(path=path, task=31).load("val_accuracy")

    assert curves.curve({**PARAMS, "batch_size": 64.4, "max_units": 199.6}) == curves.curve(PARAMS)
    assert curves.curve({**PARAMS, "batch_size": 64.6}) != curves.curve(PARAMS)


def test_a_task_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match="task must be one of 31, 32, but got 33. Choose one of these"):
        Lcbench(path=path, task=33).load("val_accuracy")


def test_another_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", task_ids=[1], cols=[1])

    with pytest.raises(
        DataError, match=r"must hold the surrogate's arrays, but has no W/embds_fct.0.weight, outs, task_code"
    ):
        Lcbench(path=tmp_path / "other.npz", task=1).load("val_accuracy")
