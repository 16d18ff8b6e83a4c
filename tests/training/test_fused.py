"""The forward pass of all lanes at once equals that of each lane's own module."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from hpo.training.fused import can_fuse, fused_forward
from hpo.training.models import Cnn, Mlp, Model, Resnet, Resnet9
from hpo.training.models.layers import DropConnect, Dropout, LeakyRelu, Maxout, Residual, Scale
from hpo.training.models.norms import GhostBatchNorm
from hpo.training.models.whitening import PatchWhitening
from hpo.training.stacking import stack_tensors

NUM_LANES = 3


def whitening(size: int, seed: float) -> nn.Module:
    layer = PatchWhitening(2, size)
    layer.fit(torch.randn(30, 2, 6, 6, generator=torch.Generator().manual_seed(int(seed))))
    return layer


def conv() -> nn.Module:
    return nn.Conv2d(2, 6, 3, padding=1)


LAYERS: dict[str, Callable[[float], nn.Module]] = {
    "dense": lambda number: nn.Sequential(nn.Flatten(), nn.Linear(32, 5)),
    "layer norm": lambda number: nn.Sequential(nn.Flatten(), nn.Linear(32, 6), nn.LayerNorm(6)),
    "layer norm without scale": lambda number: nn.Sequential(nn.Flatten(), nn.LayerNorm(32, elementwise_affine=False)),
    "layer norm of rows": lambda number: nn.LayerNorm(4),
    "group norm": lambda number: nn.Sequential(conv(), nn.GroupNorm(2, 6)),
    "batch norm": lambda number: nn.Sequential(conv(), nn.BatchNorm2d(6, momentum=0.3)),
    "ghost batch norm": lambda number: nn.Sequential(conv(), GhostBatchNorm(nn.BatchNorm2d(6), 4)),
    "residual": lambda number: nn.Sequential(conv(), Residual(nn.Conv2d(6, 6, 1), nn.Sequential(nn.Conv2d(6, 6, 1)))),
    "residual with the identity": lambda number: Residual(nn.Sequential(nn.Conv2d(2, 2, 1))),
    "dropout": lambda number: Dropout(0.2 * number),
    "dropout of channels": lambda number: nn.Sequential(conv(), Dropout(0.2 * number, num_axes=2)),
    "dropout of examples": lambda number: nn.Sequential(conv(), Dropout(0.2 * number, num_axes=1)),
    "dropconnect": lambda number: nn.Sequential(nn.Flatten(), DropConnect(nn.Linear(32, 5), 0.2 * number)),
    "leaky relu": lambda number: LeakyRelu(0.1 * number),
    "leaky relu of torch": lambda number: nn.LeakyReLU(0.3),
    "maxout": lambda number: nn.Sequential(nn.Flatten(), nn.Linear(32, 6), Maxout(3)),
    "scale": lambda number: Scale(0.5 + number),
    "mean over pixels": lambda number: nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1)),
    "patch whitening": lambda number: nn.Sequential(whitening(2, number), nn.Conv2d(16, 3, 2)),
    "patch whitening with padding": lambda number: nn.Sequential(whitening(3, number), nn.Conv2d(36, 3, 2)),
    "maximum over pixels": lambda number: nn.Sequential(conv(), nn.AdaptiveMaxPool2d(1)),
}


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_fused_form_of_a_layer_equals_each_lanes_own(layer: str, mode: str) -> None:
    torch.manual_seed(0)
    modules = [LAYERS[layer](number).double().train(mode == "training") for number in range(NUM_LANES)]
    for parameter in (parameter for module in modules for parameter in module.parameters()):
        nn.init.normal_(parameter)
    tensors = stack_tensors([{**dict(m.named_parameters()), **dict(m.named_buffers())} for m in modules])
    x = torch.randn(9, 2, 4, 4, dtype=torch.float64)

    assert can_fuse(modules[0])
    torch.manual_seed(1)
    together = fused_forward(modules[0], tensors, x, NUM_LANES)

    for lane, module in enumerate(modules):
        torch.manual_seed(1)
        torch.testing.assert_close(together[lane], module(x))
        for name, value in module.named_buffers():
            torch.testing.assert_close(tensors[name][lane], value)


@pytest.mark.parametrize(
    "model",
    [
        Mlp(
            hidden=(8, 8),
            residual=True,
            norm="layer",
            activation="leaky_relu",
            input_dropout=0.1,
            dropout=0.1,
            dropconnect=0.1,
        ),
        Mlp(activation="maxout", norm="batch", ghost_batch=4),
        Cnn(norm="instance", spatial_dropout=0.1, dropout=0.1),
        Resnet(norm="group", drop_path=0.1, dropout=0.1),
        Resnet9(ghost_batch=4, drop_path=0.1),
    ],
)
def test_every_built_in_network_has_a_fused_form(model: Model) -> None:
    assert can_fuse(model.build((3, 8, 8), 10))


@pytest.mark.parametrize(
    "module",
    [nn.Conv2d(4, 4, 3, groups=2), nn.LayerNorm((2, 4)), nn.Dropout(0.1), nn.BatchNorm2d(4, track_running_stats=False)],
)
def test_a_layer_without_a_fused_form_is_left_to_vmap(module: nn.Module) -> None:
    assert not can_fuse(nn.Sequential(Residual(module)))
