"""Every optimizer's lane forms against `torch.optim`, 20 steps in float64."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from hpo.training.models import Cnn, Mlp, Resnet
from hpo.training.optimizers import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    FusedOptimizer,
    LaneOptimizer,
    Lbfgs,
    LrFactor,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RmsProp,
    Sgd,
)
from hpo.training.optimizers.groups import Group, head_names, param_groups
from hpo.training.stacking import stack_numbers

SHAPES: list[tuple[int, ...]] = [(3, 4), (3,)]
LANES: dict[str, Sequence[Optimizer]] = {
    "sgd": [Sgd(lr=0.1, momentum=0.9), Sgd(lr=0.02, momentum=0.0, weight_decay=0.3), Sgd(lr=0.05, momentum=0.5)],
    "plain momentum": [Sgd(momentum=0.9, nesterov=False), Sgd(momentum=0.3, weight_decay=0.1, nesterov=False)],
    "adam": [Adam(), Adam(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-3, weight_decay=0.2)],
    "adamw": [AdamW(), AdamW(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-3, weight_decay=0.2)],
    "decoupled sgd": [
        Sgd(momentum=0.9, weight_decay=0.3, decay_mode="decoupled"),
        Sgd(lr=0.02, momentum=0.0, weight_decay=0.1, decay_mode="decoupled"),
    ],
    "amsgrad": [Adam(amsgrad=True), Adam(lr=0.1, beta1=0.5, beta2=0.5, eps=1e-3, weight_decay=0.2, amsgrad=True)],
    "amsgrad, decoupled": [AdamW(amsgrad=True), AdamW(lr=0.1, beta2=0.5, eps=1e-3, weight_decay=0.2, amsgrad=True)],
    "adagrad": [Adagrad(), Adagrad(lr=0.1, lr_decay=0.1, eps=1e-3, weight_decay=0.2)],
    "adadelta": [Adadelta(), Adadelta(lr=0.5, rho=0.5, eps=1e-3, weight_decay=0.2)],
    "radam": [RAdam(), RAdam(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-3, weight_decay=0.2)],
    "rmsprop": [RmsProp(), RmsProp(lr=0.1, alpha=0.9, eps=1e-3, momentum=0.5, weight_decay=0.2)],
}
FUSED = [name for name, lanes in LANES.items() if isinstance(lanes[0], FusedOptimizer)]
NUM_STEPS = 20
Update = Callable[[Sequence[Optimizer], Sequence[Group], float, int], None]


def all_at_once(lanes: Sequence[Optimizer], groups: Sequence[Group], factor: float, step: int) -> None:
    hyper = stack_numbers(lanes, groups[0].params[0])
    for group in groups:
        assert isinstance(lanes[0], LaneOptimizer)
        lanes[0].update(group, hyper, hyper["lr"] * factor, step)


def one_by_one(lanes: Sequence[Optimizer], groups: Sequence[Group], factor: float, step: int) -> None:
    for lane, optimizer in enumerate(lanes):
        for group in groups:
            own = Group(
                [param[lane] for param in group.params],
                [grad[lane] for grad in group.grads],
                {kind: [value[lane] for value in values] for kind, values in group.state.items()},
                group.decays,
            )
            assert isinstance(optimizer, FusedOptimizer)
            optimizer.update_one(own, optimizer.lr * factor, step)


def reference(
    optimizer: Optimizer, params: Sequence[torch.Tensor], grads: Sequence[Sequence[torch.Tensor]]
) -> list[torch.Tensor]:
    """What torch.optim makes of the gradients, with a rate that halves after ten steps."""
    module = nn.ParameterList([nn.Parameter(param.clone()) for param in params])
    torch_optimizer = optimizer.make(module)
    for step, step_grads in enumerate(grads):
        for group in torch_optimizer.param_groups:
            group["lr"] = optimizer.lr * factor_at(step)
        for param, grad in zip(module, step_grads, strict=True):
            param.grad = grad.clone()
        torch_optimizer.step(lambda: 0.0)
    return [param.detach() for param in module]


def factor_at(step: int) -> float:
    return 0.5 if step >= NUM_STEPS // 2 else 1.0


@pytest.mark.parametrize(
    ("name", "update"), [*((name, all_at_once) for name in LANES), *((name, one_by_one) for name in FUSED)]
)
def test_lanes_equal_torch_optim(name: str, update: Update) -> None:
    lanes = LANES[name]
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(len(lanes), *shape, generator=generator, dtype=torch.float64)

    params, grads = [draw(shape) for shape in SHAPES], [[draw(shape) for shape in SHAPES] for _ in range(NUM_STEPS)]
    expected = [
        reference(optimizer, [param[lane] for param in params], [[grad[lane] for grad in step] for step in grads])
        for lane, optimizer in enumerate(lanes)
    ]
    assert isinstance(lanes[0], LaneOptimizer)
    state = {kind: [torch.zeros_like(param) for param in params] for kind in lanes[0].state_kinds}

    for step, step_grads in enumerate(grads):
        groups = [
            Group([params[k]], [step_grads[k]], {kind: [values[k]] for kind, values in state.items()}, decays=k == 0)
            for k in range(len(params))
        ]
        update(lanes, groups, factor_at(step), step + 1)

    for lane, theirs in enumerate(expected):
        for param, value in zip(params, theirs, strict=True):
            torch.testing.assert_close(param[lane], value, atol=1e-12, rtol=0)


@pytest.mark.parametrize("beta2", [0.999, 0.9999, 0.99999])
def test_the_rectification_of_radam_is_torchs_in_float32_too(beta2: float) -> None:
    lane = RAdam(lr=0.1, beta2=beta2)
    generator = torch.Generator().manual_seed(0)
    param = torch.zeros(1, 3, 4)
    grads = [1e-3 * torch.randn(1, 3, 4, generator=generator) for _ in range(NUM_STEPS)]  # so that late steps count
    [expected] = reference(lane, [param[0]], [[grad[0]] for grad in grads])
    state = {kind: [torch.zeros_like(param)] for kind in lane.state_kinds}

    for step, grad in enumerate(grads):
        all_at_once([lane], [Group([param], [grad], state, decays=True)], factor_at(step), step + 1)

    torch.testing.assert_close(param[0], expected, rtol=2e-3, atol=1e-5)


def test_the_fused_ones_are_those_of_torch() -> None:
    assert FUSED == ["sgd", "plain momentum", "adam", "adamw", "decoupled sgd", "amsgrad", "amsgrad, decoupled"]


def test_an_optimizer_without_a_lane_form_says_so() -> None:
    assert not any(isinstance(optimizer, LaneOptimizer) for optimizer in (NAdam(), Muon(), Lbfgs()))
    assert all(isinstance(lanes[0], LaneOptimizer) for lanes in LANES.values())


def step_by(optimizer: torch.optim.Optimizer, module: nn.Module, num_steps: int) -> None:
    """Steps on the same data from the same luck."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        x, y = torch.randn(16, 6, generator=generator), torch.randint(3, (16,), generator=generator)

        def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> float:
            module.zero_grad()
            loss = nn.functional.cross_entropy(module(x), y)
            loss.backward()
            return loss.item()

        optimizer.step(closure)


def twins() -> list[nn.Module]:
    made = [Mlp(hidden=(5, 4)).build((6,), 3) for _ in range(2)]
    made[1].load_state_dict(made[0].state_dict())
    return made


def assert_same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, msg=name)


@pytest.mark.parametrize("nesterov", [True, False])
def test_decoupled_sgd_takes_a_share_of_the_weights_before_the_step(nesterov: bool) -> None:
    param, buffer, weight = nn.Parameter(torch.tensor([[1.0]])), 0.0, 1.0
    module = nn.ParameterList([param])
    config = Sgd(lr=0.1, momentum=0.5, nesterov=nesterov, weight_decay=0.2, decay_mode="decoupled")
    optimizer = config.make(module)

    for grad in (3.0, -1.0, 2.0):
        param.grad = torch.tensor([[grad]])
        optimizer.step(lambda: 0.0)
        buffer = 0.5 * buffer + grad
        weight = (1 - 0.1 * 0.2) * weight - 0.1 * (grad + 0.5 * buffer if nesterov else buffer)

    assert param.item() == pytest.approx(weight)


def test_decay_of_plain_sgd_is_the_same_coupled_or_not() -> None:
    ours, theirs = twins()

    step_by(Sgd(momentum=0.0, weight_decay=0.3, decay_mode="decoupled").make(ours), ours, 5)
    step_by(Sgd(momentum=0.0, weight_decay=0.3).make(theirs), theirs, 5)

    assert_same_weights(ours, theirs)


def test_muon_moves_hidden_matrices_and_adamw_the_rest() -> None:
    ours, theirs = twins()
    hidden = [theirs[1].weight, theirs[3].weight]  # type: ignore[index]
    head, biases = theirs[5].weight, [theirs[k].bias for k in (1, 3, 5)]  # type: ignore[index]
    muon = torch.optim.Muon(hidden, lr=0.02, weight_decay=0.1, momentum=0.8, adjust_lr_fn="match_rms_adamw")
    groups: list[dict[str, Any]] = [{"params": [head]}, {"params": biases, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=0.02, weight_decay=0.1)

    step_by(Muon(lr=0.02, momentum=0.8, weight_decay=0.1).make(ours), ours, 5)
    muon.register_step_post_hook(lambda *_: adamw.step())
    step_by(muon, theirs, 5)

    assert_same_weights(ours, theirs)


def test_muon_hands_every_setting_to_torch() -> None:
    ours, theirs = twins()
    hidden = [theirs[1].weight, theirs[3].weight]  # type: ignore[index]
    rest = [theirs[5].weight, *(theirs[k].bias for k in (1, 3, 5))]  # type: ignore[index]
    config = Muon(
        lr=0.02, momentum=0.6, nesterov=False, num_iterations=2, beta1=0.5, beta2=0.7, eps=1e-2, weight_decay=0.0
    )
    muon = torch.optim.Muon(
        hidden, lr=0.02, weight_decay=0.0, momentum=0.6, nesterov=False, ns_steps=2, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(rest, lr=0.02, betas=(0.5, 0.7), eps=1e-2, weight_decay=0.0)

    step_by(config.make(ours), ours, 5)
    muon.register_step_post_hook(lambda *_: adamw.step())
    step_by(muon, theirs, 5)

    assert_same_weights(ours, theirs)


def test_nadam_hands_every_setting_to_torch() -> None:
    ours, theirs = twins()
    named = dict(theirs.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in named.values() if p.ndim > 1], "weight_decay": 0.3},
        {"params": [p for p in named.values() if p.ndim == 1]},
    ]

    step_by(NAdam(lr=0.05, beta1=0.6, beta2=0.8, eps=1e-2, weight_decay=0.3).make(ours), ours, 5)
    step_by(torch.optim.NAdam(groups, lr=0.05, betas=(0.6, 0.8), eps=1e-2), theirs, 5)

    assert_same_weights(ours, theirs)


def test_muon_without_a_hidden_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="muon needs a hidden dense layer, but the network has none. Use adamw."):
        Muon().make(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)))


@pytest.mark.parametrize(("rate", "num_iterations", "history"), [(1.0, 4, 10), (0.3, 6, 2)])
def test_lbfgs_takes_torchs_first_step(rate: float, num_iterations: int, history: int) -> None:
    ours, theirs = twins()

    step_by(Lbfgs(lr=rate, max_iter=num_iterations, history_size=history).make(ours), ours, 1)
    torchs = torch.optim.LBFGS(theirs.parameters(), rate, num_iterations, None, 1e-7, 1e-9, history, "strong_wolfe")
    step_by(torchs, theirs, 1)

    assert_same_weights(ours, theirs)


def test_lbfgs_evaluates_a_step_with_one_luck() -> None:
    module, draws = nn.Linear(3, 1), []

    def closure() -> torch.Tensor:
        draws.append(torch.rand(()).item())
        module.zero_grad()
        loss = ((module.weight - 1) ** 4).sum()
        loss.backward()
        return loss

    Lbfgs().make(module).step(closure)  # type: ignore[arg-type]

    assert len(draws) > 1
    assert len(set(draws)) == 1


def test_lbfgs_refuses_rates_of_its_own_for_some_parameters() -> None:
    with pytest.raises(ValueError, match="lr_factor: must be 1 for lbfgs"):
        Lbfgs().make(twins()[0], LrFactor(bias=2.0))


def test_the_head_is_the_last_layer_with_parameters() -> None:
    assert head_names(Mlp(hidden=(5,)).build((6,), 3)) == {"3.weight", "3.bias"}
    assert head_names(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Identity())) == {"0.weight", "0.bias"}
    assert head_names(nn.Linear(2, 3)) == {"weight", "bias"}


def test_biases_and_the_head_have_factors_of_their_own() -> None:
    module = Cnn(channels=(2,), hidden=4).build((1, 4, 4), 3)
    names = {parameter: name for name, parameter in module.named_parameters()}

    groups = param_groups(module, LrFactor(bias=4.0, head=0.5))

    found = {names[p]: (group["lr_factor"], group.get("weight_decay")) for group in groups for p in group["params"]}
    assert found == {
        "0.weight": (1.0, None),
        "2.weight": (1.0, 0.0),
        "2.bias": (4.0, 0.0),
        "5.weight": (1.0, None),
        "5.bias": (4.0, 0.0),
        "7.weight": (0.5, None),
        "7.bias": (2.0, 0.0),
    }


def rates_by_name(module: nn.Module, lr_factor: LrFactor) -> dict[str, float]:
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {names[p]: group["lr_factor"] for group in param_groups(module, lr_factor) for p in group["params"]}


def test_rates_of_an_mlp_fall_from_layer_to_layer_below_the_head() -> None:
    module = Mlp(hidden=(5, 4), norm="layer").build((6,), 3)  # dense, norm, relu, dense, norm, relu, dense

    rates = rates_by_name(module, LrFactor(layer_decay=0.5, bias=8.0, head=3.0))

    assert rates == {
        "1.weight": 0.25,
        "1.bias": 2.0,
        "2.weight": 0.25,
        "2.bias": 2.0,
        "4.weight": 0.5,
        "4.bias": 4.0,
        "5.weight": 0.5,
        "5.bias": 4.0,
        "7.weight": 3.0,
        "7.bias": 24.0,
    }


def test_rates_of_a_resnet_fall_in_the_order_of_its_convolutions() -> None:
    rates = rates_by_name(Resnet(width=2).build((1, 8, 8), 3), LrFactor(layer_decay=0.5))

    assert {name: rate for name, rate in rates.items() if name.endswith("0.weight") or name == "11.weight"} == {
        "0.weight": 0.5**9,
        "3.branch.0.weight": 0.5**8,
        "5.branch.0.weight": 0.5**6,
        "5.shortcut.0.weight": 0.5**4,
        "7.branch.0.weight": 0.5**3,
        "7.shortcut.0.weight": 0.5,
        "11.weight": 1.0,
    }
    assert rates["5.branch.1.bias"] == rates["5.branch.0.weight"]
    assert rates["7.branch.4.weight"] == rates["7.branch.3.weight"] == 0.25


def test_a_norm_before_the_first_layer_learns_as_that_layer() -> None:
    rates = rates_by_name(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3), nn.Linear(3, 2)), LrFactor(layer_decay=0.5))

    assert rates == {"0.weight": 0.5, "0.bias": 0.5, "1.weight": 0.5, "1.bias": 0.5, "2.weight": 1.0, "2.bias": 1.0}
