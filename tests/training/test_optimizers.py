"""Every optimizer's lane forms against `torch.optim`, 20 steps in float64."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from hpo.training.optimizers import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    FusedOptimizer,
    LaneOptimizer,
    NAdam,
    Optimizer,
    RAdam,
    RmsProp,
    Sgd,
)
from hpo.training.optimizers.groups import Group
from hpo.training.stacking import stack_numbers

SHAPES: list[tuple[int, ...]] = [(3, 4), (3,)]
LANES: dict[str, Sequence[Optimizer]] = {
    "sgd": [Sgd(lr=0.1, momentum=0.9), Sgd(lr=0.02, momentum=0.0, weight_decay=0.3), Sgd(lr=0.05, momentum=0.5)],
    "plain momentum": [Sgd(momentum=0.9, nesterov=False), Sgd(momentum=0.3, weight_decay=0.1, nesterov=False)],
    "adam": [Adam(), Adam(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-3, weight_decay=0.2)],
    "adamw": [AdamW(), AdamW(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-3, weight_decay=0.2)],
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
        torch_optimizer.step()
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
    state = {kind: [torch.zeros_like(param) for param in params] for kind in lanes[0].STATE}

    for step, step_grads in enumerate(grads):
        groups = [
            Group([params[k]], [step_grads[k]], {kind: [values[k]] for kind, values in state.items()}, decays=k == 0)
            for k in range(len(params))
        ]
        update(lanes, groups, factor_at(step), step + 1)

    for lane, theirs in enumerate(expected):
        for param, value in zip(params, theirs, strict=True):
            torch.testing.assert_close(param[lane], value, atol=1e-12, rtol=0)


def test_the_fused_ones_are_those_of_torch() -> None:
    assert FUSED == ["sgd", "plain momentum", "adam", "adamw"]


def test_an_optimizer_without_a_lane_form_says_so() -> None:
    assert not isinstance(NAdam(), LaneOptimizer)
    assert all(isinstance(lanes[0], LaneOptimizer) for lanes in LANES.values())
