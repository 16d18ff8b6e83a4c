import math

import pytest
import torch
from torch import nn

from hpo.training.examples import TrainingData
from hpo.training.initializers import (
    Calibrated,
    ConstantInit,
    Dirac,
    Initializer,
    KaimingNormal,
    KaimingUniform,
    Lsuv,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from hpo.training.models import Cnn, Mlp, Model, Resnet
from hpo.training.models.layers import Activation
from hpo.training.program import initial_module
from hpo.training.recipe import Recipe
from hpo.training.seeds import make_generator

FAN_IN, FAN_OUT = 400, 200


def fill(initializer: Initializer, *seed: int) -> nn.Linear:
    layer = nn.Linear(FAN_IN, FAN_OUT)
    initializer(layer, make_generator(*(seed or (0,))))
    return layer


def make_data(labels: list[int]) -> TrainingData:
    x, y = torch.randn(len(labels), 1, 8, 8, generator=make_generator(1)), torch.tensor(labels)
    return TrainingData(train_x=x, train_y=y, validation_x=x, validation_y=y, num_classes=max(labels) + 1)


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        (Normal(std=0.03), 0.03),
        (TruncatedNormal(std=0.03), 0.03 * 0.8796),  # of a Gaussian cut at two standard deviations
        (Uniform(bound=0.3), 0.3 / math.sqrt(3)),
        (Calibrated(), math.sqrt(1 / FAN_IN)),
        (XavierUniform(), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (XavierNormal(), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (XavierNormal(gain=3.0), 3 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (KaimingUniform(), math.sqrt(2 / FAN_IN)),
        (KaimingNormal(), math.sqrt(2 / FAN_IN)),
        (KaimingNormal(mode="fan_out"), math.sqrt(2 / FAN_OUT)),
        (KaimingUniform(mode="fan_out", gain=0.5), 0.5 * math.sqrt(1 / FAN_OUT)),
    ],
)
def test_weights_have_the_variance_of_the_formula(initializer: Initializer, std: float) -> None:
    layer = fill(initializer)

    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert layer.weight.mean().item() == pytest.approx(0, abs=std / 50)


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [
        (XavierUniform(), math.sqrt(6 / (FAN_IN + FAN_OUT))),
        (KaimingUniform(), math.sqrt(6 / FAN_IN)),
        (Uniform(bound=0.3), 0.3),
        (TruncatedNormal(std=0.03), 0.06),
    ],
)
def test_bounded_weights_fill_their_interval(initializer: Initializer, bound: float) -> None:
    largest = fill(initializer).weight.abs().max().item()

    assert bound * 0.99 < largest <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(30, 20), (12, 6, 3, 3)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("kind", [KaimingNormal, KaimingUniform])
def test_kaiming_is_torchs_to_the_bit(
    kind: type[KaimingNormal | KaimingUniform], mode: str, shape: tuple[int, ...]
) -> None:
    layer = nn.Linear(20, 30) if len(shape) == 2 else nn.Conv2d(6, 12, 3)
    torchs = nn.init.kaiming_normal_ if kind is KaimingNormal else nn.init.kaiming_uniform_
    expected = torchs(torch.empty(shape), mode=mode, nonlinearity="relu", generator=make_generator(0))  # type: ignore[arg-type]

    kind.model_validate({"mode": mode})(layer, make_generator(0))

    assert layer.weight.equal(expected)


def test_torchs_own_default_is_kaiming_uniform_with_a_gain() -> None:
    expected = nn.init.kaiming_uniform_(torch.empty(FAN_OUT, FAN_IN), a=math.sqrt(5), generator=make_generator(0))

    torch.testing.assert_close(fill(KaimingUniform(gain=1 / math.sqrt(3))).weight, expected)


@pytest.mark.parametrize(
    ("activation", "gain"),
    [
        ("relu", math.sqrt(2)),
        ("gelu", math.sqrt(2)),
        ("tanh", 5 / 3),
        ("sigmoid", 1.0),
        ("selu", 0.75),
        ("leaky_relu", math.sqrt(2 / (1 + 0.3**2))),
    ],
)
@pytest.mark.parametrize("kind", [KaimingNormal, KaimingUniform, XavierNormal, XavierUniform, Orthogonal])
def test_gain_auto_is_that_of_the_networks_activation(
    kind: type[KaimingNormal], activation: Activation, gain: float
) -> None:
    model = Mlp(hidden=(30,), activation=activation, leaky_slope=0.3)
    by_name, by_number = model.build((20,), 4), model.build((20,), 4)

    kind(gain="auto")(by_name, make_generator(0))
    kind(gain=gain)(by_number, make_generator(0))

    torch.testing.assert_close(by_name.state_dict(), by_number.state_dict())


def test_gain_auto_of_a_net_without_activations_is_1() -> None:
    assert fill(Orthogonal(gain="auto")).weight.equal(fill(Orthogonal()).weight)


def test_orthogonal_rows_are_orthonormal_times_the_gain() -> None:
    weight = fill(Orthogonal(gain=2.0)).weight

    torch.testing.assert_close(weight @ weight.T, 4 * torch.eye(FAN_OUT), atol=1e-4, rtol=0)


def test_constant_weights_are_all_the_same() -> None:
    assert fill(ConstantInit(value=0.5)).weight.unique().tolist() == [0.5]


def test_dirac_convolutions_pass_their_channels_through_and_no_filter_is_empty() -> None:
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    x = torch.randn(2, 3, 5, 5)

    Dirac()(nn.Sequential(convolution), make_generator(0))

    torch.testing.assert_close(convolution(x)[:, :3], x)
    assert convolution.weight[3:].abs().sum((1, 2, 3)).gt(0).all()


def test_dirac_refuses_a_net_without_convolutions() -> None:
    with pytest.raises(ValueError, match="initializer.kind: dirac needs convolutions, but the model has none"):
        fill(Dirac())


@pytest.mark.parametrize(
    "model", [Mlp(hidden=(40, 30, 20), dropout=0.5), Cnn(channels=(8, 16), hidden=20), Resnet(width=4)]
)
def test_lsuv_gives_every_layers_output_variance_1(model: Model) -> None:
    module = model.build((2, 8, 8), 4)
    x = 5 * torch.randn(64, 2, 8, 8) + 3
    variances: list[float] = []

    Lsuv(num_examples=64)(module, make_generator(0), x)

    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(lambda layer, args, output: variances.append(output.var().item()))
    module.eval()(x)
    assert variances == pytest.approx([1.0] * len(variances), rel=1e-4)


def test_lsuv_leaves_the_mode_and_the_running_statistics_as_they_were() -> None:
    module = Cnn(channels=(4,)).build((2, 8, 8), 4)

    Lsuv()(module, make_generator(0), torch.randn(64, 2, 8, 8))

    assert module.training
    assert module.state_dict()["2.running_mean"].eq(0).all()


def test_lsuv_of_inputs_that_do_not_vary_is_refused() -> None:
    with pytest.raises(ValueError, match="lsuv needs layers whose outputs vary, but those of Linear"):
        Lsuv()(Mlp().build((8,), 2), make_generator(0), torch.zeros(16, 8))


def test_a_trial_initialized_by_lsuv_looks_at_the_training_examples() -> None:
    data = make_data([0, 1] * 32)
    module = initial_module(Recipe(model=Mlp(hidden=(16,)), initializer=Lsuv(num_examples=64)), data, 0, 0)

    assert module(data.train_x).var().item() == pytest.approx(1.0, rel=1e-4)


def test_biases_are_zero_and_norms_untouched() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))

    KaimingNormal()(module, make_generator(0))

    weights = module.state_dict()
    assert weights["0.bias"].eq(0).all()
    assert weights["1.weight"].eq(1).all()
    assert weights["1.bias"].eq(0).all()


@pytest.mark.parametrize("initializer", [KaimingNormal(), TruncatedNormal(), Orthogonal()])
def test_the_seed_alone_decides(initializer: Initializer) -> None:
    torch.manual_seed(1)
    first = fill(initializer, 7).weight
    torch.manual_seed(2)

    assert fill(initializer, 7).weight.equal(first)
    assert not fill(initializer, 8).weight.equal(first)


def test_log_prior_starts_at_the_entropy_of_the_classes() -> None:
    data = make_data([0] * 7 + [1] * 2 + [2])
    initializer = ConstantInit(value=0.0, output_bias="log_prior")

    logits = initial_module(Recipe(model=Mlp(hidden=(8,)), initializer=initializer), data, 0, 0)(data.train_x)

    shares = torch.tensor([0.7, 0.2, 0.1])
    torch.testing.assert_close(logits.softmax(1), shares.expand(10, 3))
    loss = nn.functional.cross_entropy(logits, data.train_y)
    assert loss.item() == pytest.approx(-(shares * shares.log()).sum().item())


def test_log_prior_of_a_class_without_examples_is_finite() -> None:
    data = make_data([0, 0, 2, 2])

    module = initial_module(Recipe(model=Mlp(), initializer=KaimingNormal(output_bias="log_prior")), data, 0, 0)

    assert list(module.parameters())[-1].tolist() == pytest.approx([math.log(0.5), math.log(0.25), math.log(0.5)])


def test_log_prior_needs_an_output_layer_with_a_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mlp, "build", lambda *_: nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False)))
    recipe = Recipe(model=Mlp(), initializer=KaimingNormal(output_bias="log_prior"))

    with pytest.raises(ValueError, match="log_prior needs a dense output layer with 2 outputs and a bias"):
        initial_module(recipe, make_data([0, 1]), 0, 0)
