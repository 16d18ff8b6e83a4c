"""Several trials as lanes of one program: their states stacked, one forward and one backward pass for all.

Every tensor has a leading lane axis; no operation mixes lanes, so a lane that is lost to NaN disturbs none.
"""

from collections.abc import Sequence

import torch
from torch.func import functional_call, vmap

from hpo.training.depth import batch_norms, freeze
from hpo.training.evaluate import estimate_norms, evaluate, predict
from hpo.training.examples import TrainingData
from hpo.training.fused import can_fuse, fused_forward
from hpo.training.losses import weights_of_classes
from hpo.training.luck import Luck
from hpo.training.optimizers.groups import over
from hpo.training.optimizers.updates import LaneUpdates
from hpo.training.precision import autocast, matmul_precision
from hpo.training.program import (
    Epoch,
    average_into,
    draw_batch,
    first_steps,
    has_average,
    keeps_average,
    num_averaged,
    rate_at,
    refuse_misfits,
    share_kept,
    summarize,
)
from hpo.training.recipe import Recipe
from hpo.training.seeds import seed_layers
from hpo.training.stacking import stack_numbers, stack_tensors
from hpo.training.state import AVERAGED, RAW, Tensors, TrialState


class Lanes:
    """A `Program` of trials that share a signature and their luck."""

    def __init__(self, recipes: Sequence[Recipe], data: TrainingData, luck: Luck, states: Sequence[TrialState]) -> None:
        """Begin at `states`, one for each recipe, all at the same epoch; they are left as they are.

        Raises:
            ValueError: if the recipes do not fit the data.
        """
        refuse_misfits(recipes[0], data)
        self._data = data
        self._luck = luck
        self._template = recipes[0].model.build(data.input_shape, data.num_classes).to(data.train_x)
        freeze(self._template, recipes[0].frozen_layers)
        self._held = batch_norms(self._template, recipes[0].frozen_layers) if recipes[0].frozen_norms else []
        self._is_fused = can_fuse(self._template)
        self._class_weights = weights_of_classes(recipes[0].loss, data.train_y, data.train_x, data.num_classes)
        self._first_steps = first_steps(recipes[0], len(data.train_y))
        self._begin(recipes, states)

    @property
    def num_parameters(self) -> int:
        """See `Program`."""
        return sum(parameter.numel() for parameter in self._template.parameters())

    def train_epoch(self, epoch: int, factors: Sequence[float] = ()) -> list[Epoch]:
        """See `Program`; a lane whose loss was not finite goes on, void, to the end of the epoch."""
        data, recipe = self._data, self._recipes[0]
        batches = self._luck.batches(epoch, data.train_y, recipe.batch_size_at(epoch), recipe.batches)
        seeds = self._luck.step_seeds(epoch, len(batches))
        first_step = self._first_steps[epoch - 1]
        rates, kept = self._rates(epoch, len(batches), factors), self._kept_by_step(len(batches))
        rates_on_device = data.train_x.new_tensor(rates)
        self._template.train()
        for norm in self._held:
            norm.eval()
        steps: list[torch.Tensor] = []
        with matmul_precision(recipe.precision):
            for number, (indices, seed) in enumerate(zip(batches, seeds, strict=True)):
                seed_layers(seed, data.train_x.device)
                x, targets = draw_batch(recipe, data, epoch, indices)
                losses = self._losses(x, targets)
                self._move(losses, rates[number], rates_on_device[number], first_step + number, seed)
                steps.append(losses.detach())
                if kept is not None:
                    self._average(kept)
        self._epoch = epoch
        if recipe.swa_start > 0:
            self._average_epoch()
        by_lane, sizes = torch.stack(steps, 1).tolist(), [len(batch) for batch in batches]
        return [summarize(own, sizes, rate, first_step) for own, rate in zip(by_lane, rates[-1], strict=True)]

    def evaluate(self) -> list[dict[str, float]]:
        """See `Program`."""
        self._template.eval()
        metrics = self._evaluate(self._tensors)
        if self._recipes[0].ema_half_life > 0:
            self._add_averages(metrics, "ema_", [True] * len(metrics))
        has_begun = [num_averaged(recipe, self._epoch) > 0 for recipe in self._recipes]
        if any(has_begun):
            self._add_averages(metrics, "swa_", has_begun)
        return metrics

    def predict(self) -> list[Tensors]:
        """See `Program`."""
        self._template.eval()
        predicted = [{RAW: own} for own in self._predict(self._tensors)]
        has_begun = [has_average(recipe, self._epoch) for recipe in self._recipes]
        if not any(has_begun):
            return predicted
        averages = zip(predicted, self._predict(self._tensors | self._averaged), has_begun, strict=True)
        return [own | {AVERAGED: average} if has else own for own, average, has in averages]

    def state(self, lane: int, epoch: int) -> TrialState:
        """See `Program`; a view, which the next step changes."""
        return TrialState(
            epoch=epoch,
            module={name: self._tensors[name].detach()[lane] for name in self._names},
            optimizer=self._updates.state(lane),
            averaged={name: value[lane] for name, value in self._averaged.items()},
        )

    def keep(self, lanes: Sequence[int]) -> None:
        """See `Program`."""
        self._begin([self._recipes[lane] for lane in lanes], [self.state(lane, self._epoch) for lane in lanes])

    def _begin(self, recipes: Sequence[Recipe], states: Sequence[TrialState]) -> None:
        """Lay recipes and states out with a leading lane axis, contiguous."""
        like = self._data.train_x
        modules = [recipe.model.build(self._data.input_shape, self._data.num_classes).to(like) for recipe in recipes]
        for module, state in zip(modules, states, strict=True):
            module.load_state_dict(state.module)
        self._recipes = recipes
        self._epoch = states[0].epoch
        named = stack_tensors([dict(module.named_parameters()) for module in modules])
        self._params = {name: named[name] for name, own in self._template.named_parameters() if own.requires_grad}
        self._tensors = named | stack_tensors([dict(module.named_buffers()) for module in modules])
        self._names = list(states[0].module)
        self._averaged: Tensors = {}
        if keeps_average(recipes[0]):
            self._averaged = stack_tensors([state.averaged or state.module for state in states])
        self._loss_numbers = stack_numbers([recipe.loss for recipe in recipes], like)
        self._regularizer_numbers = stack_numbers([recipe.regularizer for recipe in recipes], like)
        self._grad_clip = like.new_tensor([recipe.grad_clip for recipe in recipes])
        self._updates = LaneUpdates(
            [recipe.optimizer for recipe in recipes],
            [recipe.lr_factor for recipe in recipes],
            self._template,
            self._params,
            stack_numbers([recipe.optimizer for recipe in recipes], like),
            [state.optimizer for state in states],
        )
        for param in self._params.values():
            param.requires_grad_()

    def _losses(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of every lane [L]."""
        logits = self._forward(self._tensors, x)
        return self._recipes[0].loss.per_lane(logits, targets, self._loss_numbers, self._class_weights)

    def _move(
        self, losses: torch.Tensor, rates: Sequence[float], rates_on_device: torch.Tensor, step: int, seed: int
    ) -> None:
        """One update of every lane by its loss, at its learning rate."""
        strided = torch.autograd.grad(losses, list(self._params.values()), torch.ones_like(losses))
        grads = [grad.contiguous() for grad in strided]  # fused kernels take the layout for granted
        with torch.no_grad():
            regularizer, params = self._recipes[0].regularizer, list(self._params.values())
            grads = self._clipped(grads) if self._recipes[0].grad_clip > 0 else grads
            grads = regularizer.adjusted(grads, params, self._regularizer_numbers, step, seed)
            self._updates.step(grads, rates, rates_on_device)
            regularizer.project(params, self._regularizer_numbers)

    def _forward(self, tensors: Tensors, x: torch.Tensor) -> torch.Tensor:
        """x [B, ...] -> logits [L, B, C]."""
        with autocast(self._recipes[0].precision, x.device):
            if self._is_fused:
                logits = fused_forward(self._template, tensors, x, len(self._recipes))
            else:
                one = lambda lane: functional_call(self._template, lane, (x,))  # noqa: E731 - vmap wants a function
                logits = vmap(one, randomness="same")(tensors)
        return logits.to(x.dtype)

    def _clipped(self, grads: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """By each lane's own norm, as `torch.nn.utils.clip_grad_norm_`."""
        norms = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads]).norm(dim=0)
        factors = (self._grad_clip / (norms + 1e-6)).clamp(max=1.0)
        return [grad * over(factors, grad) for grad in grads]

    def _evaluate(self, tensors: Tensors) -> list[dict[str, float]]:
        data = self._data
        forward = lambda x: self._forward(tensors, x)  # noqa: E731
        return evaluate(forward, data.validation_x, data.validation_y, len(self._recipes))

    def _predict(self, tensors: Tensors) -> torch.Tensor:
        """Of every lane [L, n, C]."""
        return predict(lambda x: self._forward(tensors, x), self._data.validation_x, len(self._recipes))

    def _add_averages(self, metrics: list[dict[str, float]], prefix: str, wanted: Sequence[bool]) -> None:
        averages = self._evaluate(self._tensors | self._averaged)
        for raw, averaged, is_wanted in zip(metrics, averages, wanted, strict=True):
            raw |= {f"{prefix}{name}": value for name, value in averaged.items() if is_wanted}

    def _rates(self, epoch: int, num_steps: int, factors: Sequence[float]) -> list[list[float]]:
        """Learning rates of an epoch [steps, L], by each lane's own schedule and factor."""
        lanes = list(zip(self._recipes, factors or [1.0] * len(self._recipes), strict=True))
        return [
            [rate_at(recipe, epoch, number, num_steps, factor) for recipe, factor in lanes]
            for number in range(num_steps)
        ]

    def _kept_by_step(self, steps_per_epoch: int) -> torch.Tensor | None:
        """Share of each lane's running average that a step keeps [L]; none where no average runs."""
        if self._recipes[0].ema_half_life == 0:
            return None
        return self._data.train_x.new_tensor(
            [share_kept(recipe.ema_half_life, steps_per_epoch) for recipe in self._recipes]
        )

    def _average_epoch(self) -> None:
        """Take the weights at the end of an epoch into the averages; those not begun are the weights themselves."""
        nums = [num_averaged(recipe, self._epoch) for recipe in self._recipes]
        self._average(self._data.train_x.new_tensor([1 - 1 / max(1, num) for num in nums]))
        if any(nums):
            forward = lambda x: self._forward(self._tensors | self._averaged, x)  # noqa: E731
            estimate_norms(self._template, forward, self._data.train_x, self._recipes[0].batch_size, self._held)

    def _average(self, kept: torch.Tensor) -> None:
        average_into(list(self._averaged.values()), [self._tensors[name].detach() for name in self._averaged], kept)
