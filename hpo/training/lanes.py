"""Several trials as lanes of one program: their states stacked, one forward and one backward pass for all.

Every tensor has a leading lane axis; no operation mixes lanes, so a lane that is lost to NaN disturbs none.
"""

from collections.abc import Mapping, Sequence

import torch
from torch.func import functional_call, vmap

from hpo.training.evaluate import evaluate
from hpo.training.examples import TrainingData
from hpo.training.fused import can_fuse, fused_forward
from hpo.training.luck import Luck
from hpo.training.optimizers.groups import FusedOptimizer, Group, LaneOptimizer, over
from hpo.training.precision import autocast, matmul_precision
from hpo.training.program import Epoch, average_into, share_kept, summarize
from hpo.training.recipe import Recipe
from hpo.training.seeds import seed_layers
from hpo.training.stacking import stack_numbers, stack_tensors
from hpo.training.state import Tensors, TrialState


class Lanes:
    """A `Program` of trials that share a signature and their luck."""

    def __init__(self, recipes: Sequence[Recipe], data: TrainingData, luck: Luck, states: Sequence[TrialState]) -> None:
        """Begin at `states`, one for each recipe, all at the same epoch; they are left as they are."""
        optimizer = recipes[0].optimizer
        assert isinstance(optimizer, LaneOptimizer)
        self._optimizer: LaneOptimizer = optimizer
        self._data = data
        self._luck = luck
        self._template = recipes[0].model.build(data.input_shape, data.num_classes).to(data.train_x)
        self._is_fused = can_fuse(self._template)
        self._begin(recipes, states)

    def train_epoch(self, epoch: int) -> list[Epoch]:
        """See `Program`; a lane whose loss was not finite goes on, void, to the end of the epoch."""
        data = self._data
        batches = self._luck.batches(epoch, data.train_y, self._recipes[0].batch_size)
        seeds = self._luck.step_seeds(epoch, len(batches))
        first_step = (epoch - 1) * len(batches)
        rates, kept = self._rates(first_step, len(batches)), self._kept(len(batches))
        rates_on_device = data.train_x.new_tensor(rates)
        self._template.train()
        steps: list[torch.Tensor] = []
        with matmul_precision(self._recipes[0].precision):
            for number, (indices, seed) in enumerate(zip(batches, seeds, strict=True)):
                seed_layers(seed, data.train_x.device)
                x, y = data.train_x[indices], data.train_y[indices]
                steps.append(self._step(x, y, rates[number], rates_on_device[number]))
                if kept is not None:
                    average_into(list(self._averaged.values()), self._state_values(), kept)
        losses, sizes = torch.stack(steps, 1).tolist(), [len(batch) for batch in batches]
        return [summarize(own, sizes, rate, first_step) for own, rate in zip(losses, rates[-1], strict=True)]

    def evaluate(self) -> list[dict[str, float]]:
        """See `Program`."""
        self._template.eval()
        metrics = self._evaluate(self._tensors)
        if self._averaged:
            averages = self._evaluate(self._tensors | self._averaged)
            for raw, averaged in zip(metrics, averages, strict=True):
                raw |= {f"ema_{name}": value for name, value in averaged.items()}
        return metrics

    def state(self, lane: int, epoch: int) -> TrialState:
        """See `Program`; a view, which the next step changes."""
        optimizer = {
            f"{kind}.{name}": value[lane]
            for kind, values in self._state.items()
            for name, value in zip(self._params, values, strict=True)
        }
        if self._optimizer.COUNTS_STEPS:
            optimizer |= {f"step.{name}": torch.tensor(float(self._num_steps)) for name in self._params}
        return TrialState(
            epoch=epoch,
            module={name: self._tensors[name].detach()[lane] for name in self._names},
            optimizer=optimizer,
            averaged={name: value[lane] for name, value in self._averaged.items()},
        )

    def keep(self, lanes: Sequence[int]) -> None:
        """See `Program`."""
        self._begin([self._recipes[lane] for lane in lanes], [self.state(lane, epoch=0) for lane in lanes])

    def _begin(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> None:
        """Lay recipes and states out with a leading lane axis, contiguous."""
        like = self._data.train_x
        modules = [recipe.model.build(self._data.input_shape, self._data.num_classes).to(like) for recipe in recipes]
        for module, state in zip(modules, states, strict=True):
            module.load_state_dict(state.module)
        self._recipes = recipes
        self._params = stack_tensors([dict(module.named_parameters()) for module in modules])
        self._tensors = self._params | stack_tensors([dict(module.named_buffers()) for module in modules])
        self._names = list(states[0].module)
        self._averaged: Tensors = {}
        if recipes[0].ema_half_life > 0:
            self._averaged = stack_tensors([state.averaged or state.module for state in states])
        self._loss_numbers = stack_numbers([recipe.loss for recipe in recipes], like)
        self._hyper = stack_numbers([recipe.optimizer for recipe in recipes], like)
        self._fused = [r.optimizer for r in recipes if isinstance(r.optimizer, FusedOptimizer)]
        self._grad_clip = like.new_tensor([recipe.grad_clip for recipe in recipes])
        self._state = {
            kind: [_optimizer_state(states, f"{kind}.{name}", param) for name, param in self._params.items()]
            for kind in self._optimizer.STATE
        }
        self._num_steps = int(next((v for k, v in states[0].optimizer.items() if k.startswith("step.")), 0))
        self._lane_groups = _lane_groups(list(self._params.values()), self._state)
        for param in self._params.values():
            param.requires_grad_()

    def _step(self, x: torch.Tensor, y: torch.Tensor, rates: Sequence[float], on_device: torch.Tensor) -> torch.Tensor:
        """One update of every lane at its learning rate; the losses [L] before it."""
        losses = self._recipes[0].loss.per_lane(self._forward(self._tensors, x), y, self._loss_numbers)
        strided = torch.autograd.grad(losses, list(self._params.values()), torch.ones_like(losses))
        grads = [grad.contiguous() for grad in strided]  # fused kernels take the layout for granted
        with torch.no_grad():
            self._num_steps += 1
            grads = self._clipped(grads) if self._recipes[0].grad_clip > 0 else grads
            if self._fused and x.device.type == "cpu":
                self._update_one_by_one(grads, rates)
            else:
                params = [param.detach() for param in self._params.values()]
                for numbers, decays in _parted(params):
                    group = _group(numbers, params, grads, self._state, decays=decays)
                    self._optimizer.update(group, self._hyper, on_device, self._num_steps)
        return losses.detach()

    def _forward(self, tensors: Tensors, x: torch.Tensor) -> torch.Tensor:
        """x [B, ...] -> logits [L, B, C]."""
        with autocast(self._recipes[0].precision, x.device):
            if self._is_fused:
                logits = fused_forward(self._template, tensors, x, len(self._recipes))
            else:
                one = lambda lane: functional_call(self._template, lane, (x,))  # noqa: E731 - vmap wants a function
                logits = vmap(one, randomness="same")(tensors)
        return logits.to(x.dtype)

    def _update_one_by_one(self, grads: Sequence[torch.Tensor], rates: Sequence[float]) -> None:
        """On a processor a lane's update is memory-bound: one fused pass while its weights are in the cache."""
        of_lanes = zip(*(grad.unbind() for grad in grads), strict=True)
        for optimizer, rate, groups, of_lane in zip(self._fused, rates, self._lane_groups, of_lanes, strict=True):
            for numbers, group in groups:
                now = Group(group.params, [of_lane[number] for number in numbers], group.state, group.decays)
                optimizer.update_one(now, rate, self._num_steps)

    def _clipped(self, grads: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """By each lane's own norm, as `torch.nn.utils.clip_grad_norm_`."""
        norms = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads]).norm(dim=0)
        factors = (self._grad_clip / (norms + 1e-6)).clamp(max=1.0)
        return [grad * over(factors, grad) for grad in grads]

    def _evaluate(self, tensors: Tensors) -> list[dict[str, float]]:
        data = self._data
        forward = lambda x: self._forward(tensors, x)  # noqa: E731
        return evaluate(forward, data.validation_x, data.validation_y, len(self._recipes))

    def _rates(self, first_step: int, num_steps: int) -> list[list[float]]:
        """Learning rates of an epoch [steps, L], by each lane's own schedule."""
        total = self._recipes[0].epochs * num_steps
        return [
            [recipe.optimizer.lr * recipe.schedule(step / total) for recipe in self._recipes]
            for step in range(first_step, first_step + num_steps)
        ]

    def _kept(self, steps_per_epoch: int) -> torch.Tensor | None:
        """Share of each lane's running average that a step keeps [L]; none where no average is kept."""
        if not self._averaged:
            return None
        return self._data.train_x.new_tensor(
            [share_kept(recipe.ema_half_life, steps_per_epoch) for recipe in self._recipes]
        )

    def _state_values(self) -> list[torch.Tensor]:
        return [self._tensors[name].detach() for name in self._averaged]


def _parted(params: Sequence[torch.Tensor]) -> list[tuple[list[int], bool]]:
    """Numbers of the parameters [L, ...] that decay, and of those that do not, as `param_groups` parts them."""
    parted = [([n for n, param in enumerate(params) if (param.ndim > 2) is decays], decays) for decays in (True, False)]
    return [(numbers, decays) for numbers, decays in parted if numbers]


def _group(
    numbers: Sequence[int],
    params: Sequence[torch.Tensor],
    grads: Sequence[torch.Tensor],
    state: Mapping[str, Sequence[torch.Tensor]],
    *,
    decays: bool,
) -> Group:
    def pick(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [values[number] for number in numbers]

    return Group(pick(params), pick(grads), {kind: pick(values) for kind, values in state.items()}, decays)


def _lane_groups(
    params: Sequence[torch.Tensor], state: Mapping[str, Sequence[torch.Tensor]]
) -> list[list[tuple[list[int], Group]]]:
    """Views of each lane's parameters and state, made once; every step brings its gradients, by these numbers."""
    parted = _parted(params)
    of_lanes = zip(*(param.unbind() for param in params), strict=True)
    states = {kind: list(zip(*(value.unbind() for value in values), strict=True)) for kind, values in state.items()}
    return [
        [
            (numbers, _group(numbers, own, own, {kind: of[lane] for kind, of in states.items()}, decays=decays))
            for numbers, decays in parted
        ]
        for lane, own in enumerate(of_lanes)
    ]


def _optimizer_state(states: Sequence[TrialState], key: str, param: torch.Tensor) -> torch.Tensor:
    """Stacked over lanes; zero where a trial has none yet, as in `torch.optim`."""
    zeros = torch.zeros_like(param[0])
    return torch.stack([state.optimizer.get(key, zeros).to(param) for state in states])
