import math
import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional

from hpo.training.models import Cnn, Custom, Mlp, Model, Resnet, Resnet9
from hpo.training.models.layers import DropConnect, Dropout, LeakyRelu
from hpo.training.models.norms import GhostBatchNorm

Tensors = dict[str, torch.Tensor]


def trained(model: Model) -> tuple[nn.Module, Tensors, torch.Tensor]:
    """A network in evaluation whose norms have seen something, its tensors, and inputs [6, 3, 8, 8]."""
    torch.manual_seed(0)
    module, x = model.build((3, 8, 8), 5), torch.randn(6, 3, 8, 8)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    module(x)
    return module.eval(), dict(module.state_dict()), x


def normed_convolution(tensors: Tensors, x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
    """A convolution that keeps the size, and batch norm by its running statistics."""
    kernel = tensors[f"{conv}.weight"]
    out = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    mean, var, scale, shift = (tensors[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(out, mean, var, scale, shift)


@pytest.mark.parametrize(
    "model",
    [
        Mlp(),
        Mlp(hidden=(8, 4), norm="batch", dropout=0.5),
        Mlp(hidden=(8, 8), norm="layer", residual=True, activation="maxout", maxout_k=3, dropconnect=0.5),
        Cnn(),
        Cnn(norm="none", dropout=0.3),
        Cnn(norm="group", norm_position="after", spatial_dropout=0.3),
        Resnet(width=4, drop_path=0.2, dropout=0.1),
        Resnet(width=8, norm="group", ghost_batch=2),
        Resnet9(width=4, ghost_batch=2, drop_path=0.2),
    ],
)
def test_a_model_maps_images_to_logits(model: Model) -> None:
    module = model.build((3, 12, 12), num_classes=7)

    assert module(torch.zeros(5, 3, 12, 12)).shape == (5, 7)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (
            Cnn(channels=(8, 8, 8, 8)),
            (1, 8, 8),
            r"cnn with 4 blocks needs images .* at least 16 x 16, but the data have shape \[1, 8, 8\]. Use fewer",
        ),
        (Resnet(), (64,), r"resnet needs images .* at least 4 x 4, but the data have shape \[64\]"),
        (Resnet9(), (1, 7, 9), r"resnet9 needs images .* at least 8 x 8, but the data have shape \[1, 7, 9\]"),
        (
            Cnn(channels=(16, 12), norm="group", group_size=8),
            (1, 8, 8),
            "channels that are a multiple of model.group_size, but a layer has 12 channels and the groups 8",
        ),
        (Cnn(channels=(4, 4, 4), norm="instance"), (1, 8, 8), "instance norm needs more than one pixel"),
    ],
)
def test_a_model_refuses_data_that_do_not_fit(model: Model, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.build(shape, 10)


@pytest.mark.parametrize(("depth", "num_parameters"), [(8, 78_042), (20, 272_474)])
def test_a_resnet_has_the_published_size(depth: int, num_parameters: int) -> None:
    """He et al. 2015, table 6, say 0.27 M at depth 20."""
    module = Resnet.model_validate({"depth": depth}).build((3, 32, 32), 10)

    weighted = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert sum(parameter.numel() for parameter in module.parameters()) == num_parameters
    assert len(weighted) == depth + 2  # the shortcuts of two stages


def test_resnet9_has_the_size_of_pages() -> None:
    module = Resnet9().build((3, 32, 32), 10)

    weights = 64 * 3 * 9 + 128 * 64 * 9 + 2 * 128 * 128 * 9 + 256 * 128 * 9 + 512 * 256 * 9 + 2 * 512 * 512 * 9
    norms_and_output = 2 * (64 + 3 * 128 + 256 + 3 * 512) + 512 * 10 + 10
    assert sum(parameter.numel() for parameter in module.parameters()) == weights + norms_and_output


def test_the_output_scale_of_resnet9_is_a_factor_on_its_logits() -> None:
    full, eighth = (Resnet9(width=4, output_scale=scale).build((3, 8, 8), 5).eval() for scale in (1.0, 0.125))
    eighth.load_state_dict(full.state_dict())
    bias = list(full.parameters())[-1]
    x = torch.randn(6, 3, 8, 8)

    torch.testing.assert_close(eighth(x) - bias, (full(x) - bias) / 8)


def test_pooling_before_norm_and_activation_changes_nothing_in_eval_for_positive_scales() -> None:
    conv, norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4).eval()
    x = torch.randn(2, 1, 8, 8)

    ours = torch.relu(norm(torch.max_pool2d(conv(x), 2)))
    usual = torch.max_pool2d(torch.relu(norm(conv(x))), 2)

    torch.testing.assert_close(ours, usual)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid", "elu", "selu", "celu"])
def test_pooling_before_a_monotone_activation_changes_no_bit(activation: str) -> None:
    cnn = Cnn.model_validate({"channels": (4,), "norm": "none", "activation": activation}).build((1, 8, 8), 3)
    conv, pool, activate, *head = cnn.children()
    x = torch.randn(5, 1, 8, 8)

    usual = nn.Sequential(conv, activate, pool, *head)(x)

    assert isinstance(pool, nn.MaxPool2d)
    assert torch.equal(cnn(x), usual)


@pytest.mark.parametrize("position", ["before", "after"])
def test_the_norm_stands_where_it_is_told_to(position: str) -> None:
    mlp = Mlp.model_validate({"hidden": (8,), "norm": "batch", "norm_position": position}).build((4,), 2)
    cnn = Cnn.model_validate({"channels": (8,), "norm": "batch", "norm_position": position}).build((1, 4, 4), 2)

    expected = ["BatchNorm", "ReLU"] if position == "before" else ["ReLU", "BatchNorm"]
    assert [type(layer).__name__.rstrip("12d") for layer in list(mlp)[2:4]] == expected  # type: ignore[call-overload]
    assert [type(layer).__name__.rstrip("12d") for layer in list(cnn)[2:4]] == expected  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("norm", "position", "has_bias"),
    [("none", "before", True), ("batch", "before", False), ("batch", "after", True), ("group", "before", True)],
)
def test_a_bias_is_left_out_only_where_the_norm_would_take_it_away(norm: str, position: str, has_bias: bool) -> None:
    module = Cnn.model_validate({"channels": (8,), "norm": norm, "norm_position": position}).build((1, 4, 4), 2)

    assert ("0.bias" in module.state_dict()) is has_bias


def test_residual_layers_add_their_input() -> None:
    torch.manual_seed(0)
    module = Mlp(hidden=(6, 6, 6), residual=True, activation="tanh").build((6,), 2)
    x = torch.randn(5, 6)

    hidden = torch.tanh(nn.functional.linear(x, module.get_parameter("1.weight"), module.get_parameter("1.bias")))
    for name in ("3.branch.0", "4.branch.0"):
        weight, bias = module.get_parameter(f"{name}.weight"), module.get_parameter(f"{name}.bias")
        hidden = hidden + torch.tanh(nn.functional.linear(hidden, weight, bias))
    expected = nn.functional.linear(hidden, module.get_parameter("5.weight"), module.get_parameter("5.bias"))
    torch.testing.assert_close(module(x), expected)


def test_layers_of_unequal_widths_are_not_residual() -> None:
    names = Mlp(hidden=(6, 6, 5), residual=True).build((6,), 2).state_dict().keys()

    assert [name for name in names if "branch" in name] == ["3.branch.0.weight", "3.branch.0.bias"]


def test_with_zero_init_residual_every_block_begins_as_its_shortcut() -> None:
    torch.manual_seed(0)
    module = Resnet(width=4, zero_init_residual=True).build((3, 8, 8), 5).eval()
    x = torch.randn(6, 4, 8, 8)

    first_block = module.get_submodule("3")
    assert first_block(x).equal(x)
    assert not Resnet(width=4).build((3, 8, 8), 5).eval().get_submodule("3")(x).equal(x)


def test_zero_init_residual_reaches_through_ghost_batch_norm() -> None:
    state = Resnet(width=4, zero_init_residual=True, ghost_batch=4).build((3, 8, 8), 5).state_dict()

    assert state["3.branch.4.norm.weight"].eq(0).all()
    assert state["3.branch.1.norm.weight"].eq(1).all()


def test_stochastic_depth_rises_linearly_to_its_rate() -> None:
    buffers = dict(Resnet(width=4, depth=14, drop_path=0.3).build((3, 8, 8), 5).named_buffers())

    rates = [value.item() for name, value in buffers.items() if name.endswith("rate")]
    assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


def test_ghost_batches_of_one_example_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 2"):
        Cnn(ghost_batch=1)


def test_a_cnn_is_blocks_of_convolution_pool_norm_and_activation_and_a_dense_head() -> None:
    module, tensors, x = trained(Cnn(channels=(4, 6), hidden=7, activation="tanh"))

    hidden = x
    for conv, norm in (("0", "2"), ("4", "6")):
        pooled = functional.max_pool2d(functional.conv2d(hidden, tensors[f"{conv}.weight"], padding=1), 2)
        statistics = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
        scale_shift = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
        hidden = torch.tanh(functional.batch_norm(pooled, *statistics, *scale_shift))
    hidden = torch.tanh(functional.linear(hidden.flatten(1), tensors["9.weight"], tensors["9.bias"]))
    torch.testing.assert_close(module(x), functional.linear(hidden, tensors["11.weight"], tensors["11.bias"]))


def test_a_resnet_is_what_the_paper_draws() -> None:
    module, tensors, x = trained(Resnet(depth=8, width=4))

    hidden = torch.relu(normed_convolution(tensors, x, "0", "1"))
    for block, stride in (("3", 1), ("5", 2), ("7", 2)):
        inner = torch.relu(normed_convolution(tensors, hidden, f"{block}.branch.0", f"{block}.branch.1", stride))
        branch = normed_convolution(tensors, inner, f"{block}.branch.3", f"{block}.branch.4")
        name = f"{block}.shortcut"
        shortcut = hidden if stride == 1 else normed_convolution(tensors, hidden, f"{name}.0", f"{name}.1", stride)
        hidden = torch.relu(shortcut + branch)
    expected = functional.linear(hidden.mean((2, 3)), tensors["11.weight"], tensors["11.bias"])
    torch.testing.assert_close(module(x), expected)


def test_resnet9_is_four_convolutions_and_two_residual_blocks() -> None:
    module, tensors, x = trained(Resnet9(width=2, norm="group", group_size=2, activation="tanh", output_scale=0.5))

    def convolution(x: torch.Tensor, conv: str, norm: str, pool: int = 1) -> torch.Tensor:
        pooled = functional.max_pool2d(functional.conv2d(x, tensors[f"{conv}.weight"], padding=1), pool)
        scale, shift = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
        return torch.tanh(functional.group_norm(pooled, pooled.shape[1] // 2, scale, shift))

    hidden = convolution(convolution(x, "0", "1"), "3", "5", pool=2)
    inner = convolution(hidden, "7.branch.0", "7.branch.1")
    hidden = hidden + convolution(inner, "7.branch.3", "7.branch.4")
    hidden = convolution(convolution(hidden, "8", "10", pool=2), "12", "14", pool=2)
    inner = convolution(hidden, "16.branch.0", "16.branch.1")
    hidden = (hidden + convolution(inner, "16.branch.3", "16.branch.4")).amax((2, 3))
    expected = functional.linear(0.5 * hidden, tensors["20.weight"], tensors["20.bias"])
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("kind", [Mlp, Cnn, Resnet, Resnet9])
def test_settings_of_a_network_reach_its_layers(kind: type[Mlp | Cnn | Resnet | Resnet9]) -> None:
    settings = {"norm": "batch", "norm_momentum": 0.3, "activation": "leaky_relu", "leaky_slope": 0.2}
    plain = list(kind.model_validate(settings).build((3, 8, 8), 5).modules())
    ghosts = list(kind.model_validate(settings | {"ghost_batch": 4}).build((3, 8, 8), 5).modules())

    norms = [layer for layer in plain if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.3}
    assert {round(layer.slope.item(), 6) for layer in plain if isinstance(layer, LeakyRelu)} == {0.2}
    x = torch.randn(8, 3, 8, 8)
    parts = [len(layer.parts(x, axis=0)) for layer in ghosts if isinstance(layer, GhostBatchNorm)]
    assert parts == [2] * len(norms)


@pytest.mark.parametrize("kind", [Cnn, Resnet, Resnet9])
def test_groups_have_the_size_asked_for(kind: type[Cnn | Resnet | Resnet9]) -> None:
    layers = kind.model_validate({"norm": "group", "group_size": 4}).build((3, 8, 8), 5).modules()

    groups = [layer for layer in layers if isinstance(layer, nn.GroupNorm)]
    assert {norm.num_channels // norm.num_groups for norm in groups} == {4}


def test_a_network_of_the_users_own_gets_shape_classes_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(input_shape: tuple[int, ...], num_classes: int, width: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), width), nn.Linear(width, num_classes))

    nets = types.ModuleType("nets_of_a_user")
    nets.make = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nets_of_a_user", nets)

    module = Custom(factory="nets_of_a_user:make", arguments={"width": 7}).build((3, 4), 5)

    assert [tuple(weight.shape) for weight in module.parameters()] == [(7, 12), (7,), (5, 7), (5,)]


def test_every_dropout_stands_where_its_setting_says() -> None:
    mlp = Mlp(hidden=(4,), input_dropout=0.1, dropout=0.2, dropconnect=0.3).build((6,), 2)
    cnn = Cnn(channels=(4,), hidden=8, spatial_dropout=0.4, dropout=0.5).build((1, 4, 4), 2)
    resnet = Resnet(width=4, drop_path=0.3, dropout=0.5).build((1, 8, 8), 2)
    resnet9 = Resnet9(width=4, drop_path=0.4, dropout=0.5).build((1, 8, 8), 2)

    def places(module: nn.Module) -> dict[str, float]:
        named = module.named_modules()
        return {name: round(layer.rate.item(), 6) for name, layer in named if isinstance(layer, Dropout)}

    assert [type(layer) for layer in mlp.children()] == [
        nn.Flatten,
        Dropout,
        DropConnect,
        nn.ReLU,
        Dropout,
        nn.Linear,
    ]
    assert places(mlp) == {"1": 0.1, "2.dropout": 0.3, "4": 0.2}
    assert places(cnn) == {"4": 0.4, "8": 0.5}
    assert isinstance(cnn.get_submodule("3"), nn.ReLU)
    assert isinstance(cnn.get_submodule("9"), nn.Linear)
    assert places(resnet) == {"3.branch.5": 0.1, "5.branch.5": 0.2, "7.branch.5": 0.3, "11": 0.5}
    assert places(resnet9) == {"7.branch.6": 0.2, "16.branch.6": 0.4, "19": 0.5}
    of_channels, of_examples = cnn.get_submodule("4").train(), resnet.get_submodule("7.branch.5").train()
    dropped = of_channels(torch.ones(50, 30, 4, 4))
    assert dropped.eq(dropped[:, :, :1, :1]).all()
    assert not dropped.eq(dropped[:, :1]).all()
    dropped = of_examples(torch.ones(50, 30, 4, 4))
    assert dropped.eq(dropped[:, :1, :1, :1]).all()
    assert not dropped.eq(dropped[:1]).all()
