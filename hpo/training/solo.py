"""One trial, as plain PyTorch: the reference that every lane must equal."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call

from hpo.training.depth import batch_norms, freeze
from hpo.training.evaluate import NUM_AT_ONCE, estimate_norms, evaluate, predict
from hpo.training.examples import TrainingData
from hpo.training.losses import loss_of_part, weights_of_classes
from hpo.training.luck import Luck, batch_sizes
from hpo.training.models import Custom
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
from hpo.training.pruning import hold_masks
from hpo.training.ranks import ALONE, Ranks
from hpo.training.recipe import Recipe
from hpo.training.seeds import derive_seed, seed_layers
from hpo.training.shared_norms import share_norms
from hpo.training.stacking import stack_numbers
from hpo.training.state import AVERAGED, RAW, Tensors, TrialState


class Solo:
    """A network and its `torch.optim` optimizer, trained eagerly; a `Program` of one trial."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        luck: Luck,
        state: TrialState,
        masks: Tensors | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Begin at `state`, which is left as it is; where there are `masks`, hold weights at 0 by them.

        Several `ranks` train it together: batches and what augmentation draws are those of a process alone, and so are
        losses, but for the last digits. Layers that draw, as dropout does, draw by rank.

        Raises:
            ValueError: if the recipe does not fit the data.
        """
        refuse_misfits(recipe, data)
        self._recipe = recipe
        self._data = data
        self._luck = luck
        self._module = recipe.model.build(data.input_shape, data.num_classes).to(data.train_x)
        self._module.load_state_dict(state.module)
        if ranks.number > 1:
            share_norms(self._module)
        freeze(self._module, recipe.frozen_layers)
        self._held = batch_norms(self._module, recipe.frozen_layers) if recipe.frozen_norms else []
        self._is_convolutional = any(isinstance(layer, nn.Conv2d) for layer in self._module.modules())
        if self._is_convolutional:  # twice as fast on a processor, and what tensor cores want
            self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._params = [parameter for parameter in self._module.parameters() if parameter.requires_grad]
        self._optimizer = recipe.optimizer.make(self._module, recipe.lr_factor)
        _restore(self._optimizer, self._module, state.optimizer)
        self._ranks = ranks
        self._wrapped = ranks.wrapped(self._module, may_skip=isinstance(recipe.model, Custom))
        if masks is not None:
            hold_masks(self._module, self._optimizer, masks)
        averaged = state.averaged or state.module
        names = list(self._module.state_dict()) if keeps_average(recipe) else []  # a checkpoint has an order of its own
        self._averaged = {name: averaged[name].clone() for name in names}
        self._regularizer_numbers = stack_numbers([recipe.regularizer], data.train_x)
        self._class_weights = weights_of_classes(recipe.loss, data.train_y, data.train_x, data.num_classes)
        self._first_steps = first_steps(recipe, len(data.train_y))
        self._epoch = state.epoch
        self._micro_batch = state.micro_batch

    @property
    def num_parameters(self) -> int:
        """See `Program`."""
        return sum(parameter.numel() for parameter in self._module.parameters())

    @property
    def module(self) -> nn.Module:
        """The network itself, which every step changes."""
        return self._module

    def train_epoch(self, epoch: int, factors: Sequence[float] = ()) -> list[Epoch]:
        """See `Program`; on a processor, which need not be waited for, ends at the first loss that is not finite."""
        data, recipe = self._data, self._recipe
        batches = self._luck.batches(epoch, data.train_y, recipe.batch_size_at(epoch), recipe.batches)
        first_step = self._first_steps[epoch - 1]
        self._begin_training()
        losses: list[torch.Tensor] = []
        rate = 0.0
        with matmul_precision(recipe.precision):
            for seed, indices in zip(self._luck.step_seeds(epoch, len(batches)), batches, strict=True):
                seed_layers(seed, data.train_x.device)
                rate, step = rate_at(recipe, epoch, len(losses), len(batches), *factors), first_step + len(losses)
                x, targets = draw_batch(recipe, data, epoch, indices)
                if self._ranks.number > 1:
                    seed_layers(derive_seed(seed, "rank", self._ranks.rank), data.train_x.device)
                losses.append(self._step(x, targets, rate, step, seed))
                if losses[-1].device.type == "cpu" and not math.isfinite(losses[-1].item()):
                    break
                if recipe.ema_half_life > 0:
                    self._average(share_kept(recipe.ema_half_life, len(batches)))
        self._epoch = epoch
        if recipe.swa_start > 0:
            num = num_averaged(recipe, epoch)
            self._average(1 - 1 / max(1, num))
            if num > 0:
                size = self._micro_batch or recipe.batch_size
                estimate_norms(self._module, self._averaged_forward, data.train_x, size, self._held)
        return [summarize(torch.stack(losses).tolist(), [len(batch) for batch in batches], rate, first_step)]

    def step_once(self, epoch: int, indices: torch.Tensor, rate: float, seed: int) -> None:
        """One more step after `epoch`, by these training examples, at learning rate `rate`."""
        self._begin_training()
        with matmul_precision(self._recipe.precision):
            seed_layers(seed, self._data.train_x.device)
            x, targets = draw_batch(self._recipe, self._data, epoch, indices)
            self._step(x, targets, rate, self._first_steps[epoch], seed)

    def evaluate(self) -> list[dict[str, float]]:
        """See `Program`."""
        self._module.eval()
        metrics = self._measured(self._forward)
        if self._recipe.ema_half_life > 0:
            metrics |= {f"ema_{name}": value for name, value in self._measured(self._averaged_forward).items()}
        if num_averaged(self._recipe, self._epoch) > 0:
            metrics |= {f"swa_{name}": value for name, value in self._measured(self._averaged_forward).items()}
        return [metrics]

    def predict(self) -> list[Tensors]:
        """See `Program`."""
        self._module.eval()
        predicted = {RAW: self._predicted(self._forward)}
        if has_average(self._recipe, self._epoch):
            predicted[AVERAGED] = self._predicted(self._averaged_forward)
        return [predicted]

    def state(self, lane: int, epoch: int) -> TrialState:
        """See `Program`; a view, which the next step changes."""
        return TrialState(
            epoch=epoch,
            module=dict(self._module.state_dict()),
            optimizer=_named_state(self._optimizer, self._module),
            averaged=self._averaged,
            micro_batch=self._micro_batch,
        )

    def keep(self, lanes: Sequence[int]) -> None:
        """See `Program`: there is nobody to leave."""

    def _begin_training(self) -> None:
        self._module.train()
        for norm in self._held:
            norm.eval()

    def _measured(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        data = self._data
        x, y, at_once = data.validation_x, data.validation_y, self._micro_batch or NUM_AT_ONCE
        return evaluate(lambda x: forward(x).unsqueeze(0), x, y, num_at_once=at_once, ranks=self._ranks)[0]

    def _predicted(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        at_once = self._micro_batch or NUM_AT_ONCE
        return predict(lambda x: forward(x).unsqueeze(0), self._data.validation_x, num_at_once=at_once)[0]

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        with autocast(self._recipe.precision, x.device):
            logits: torch.Tensor = self._module(self._laid_out(x))
        return logits

    def _averaged_forward(self, x: torch.Tensor) -> torch.Tensor:
        with autocast(self._recipe.precision, x.device):
            logits: torch.Tensor = functional_call(self._module, self._averaged, (self._laid_out(x),))
        return logits

    def _step(self, x: torch.Tensor, targets: torch.Tensor, rate: float, step: int, seed: int) -> torch.Tensor:
        """One update at learning rate `rate`; the loss before it."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group.get("lr_factor", 1.0)

        def closure() -> torch.Tensor:
            self._optimizer.zero_grad()
            loss = self._backward(x, targets)
            if self._recipe.grad_clip > 0:
                nn.utils.clip_grad_norm_(self._params, self._recipe.grad_clip)
            if self._regularizer_numbers:
                self._adjust_grads(step, seed)
            return loss

        loss: torch.Tensor = self._optimizer.step(closure)  # type: ignore[arg-type, assignment]
        if self._regularizer_numbers:
            params = [parameter.detach().unsqueeze(0) for parameter in self._params]
            self._recipe.regularizer.project(params, self._regularizer_numbers)
        return loss.detach()

    def _backward(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Gradients of the loss of a batch, which is returned; of its parts, where ranks or micro-batches share it."""
        if self._micro_batch == 0 and self._ranks.number == 1:
            with autocast(self._recipe.precision, x.device):
                loss: torch.Tensor = self._recipe.loss(self._forward(x), targets, self._class_weights)
            loss.backward()
            return loss
        *others, last = self._parts(len(x))
        with self._ranks.without_mean(self._wrapped):
            losses = [self._backward_part(x, targets, part) for part in others]
        losses.append(self._backward_part(x, targets, last))
        return self._ranks.total(torch.stack(losses).sum())

    def _backward_part(self, x: torch.Tensor, targets: torch.Tensor, part: slice) -> torch.Tensor:
        """Gradients of what a part brings to the loss of a batch, which is returned; the mean of ranks is their sum."""
        with autocast(self._recipe.precision, x.device):
            logits = self._wrapped(self._laid_out(x[part]))
            loss = loss_of_part(self._recipe.loss, logits, targets[part], targets, self._class_weights)
        (loss * self._ranks.number).backward()
        return loss.detach()

    def _parts(self, num: int) -> list[slice]:
        """Of a batch of `num`, what is taken at once here, one after the other; as many parts on every rank."""
        own = self._ranks.part(num)
        if self._ranks.number == 1:
            sizes = batch_sizes(num, self._micro_batch)
        else:
            largest = math.ceil(num / self._ranks.number)
            num_parts = math.ceil(largest / (self._micro_batch or largest))
            ends = [(own.stop - own.start) * number // num_parts for number in range(num_parts + 1)]
            sizes = [end - start for start, end in itertools.pairwise(ends)]
        ends = list(itertools.accumulate(sizes, initial=own.start))
        return [slice(start, end) for start, end in itertools.pairwise(ends)]

    def _adjust_grads(self, step: int, seed: int) -> None:
        grads = [parameter.grad.unsqueeze(0) for parameter in self._params if parameter.grad is not None]
        one_lane = [parameter.detach().unsqueeze(0) for parameter in self._params if parameter.grad is not None]
        adjusted = self._recipe.regularizer.adjusted(grads, one_lane, self._regularizer_numbers, step, seed)
        for grad, new in zip(grads, adjusted, strict=True):
            grad.copy_(new)

    def _average(self, kept: float) -> None:
        average_into(list(self._averaged.values()), list(self._module.state_dict().values()), kept)

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self._is_convolutional else x


def _named_state(optimizer: torch.optim.Optimizer, module: nn.Module) -> Tensors:
    return {
        f"{kind}.{name}": value
        for name, parameter in module.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, torch.Tensor)
    }


def _restore(optimizer: torch.optim.Optimizer, module: nn.Module, named: Tensors) -> None:
    for name, parameter in module.named_parameters():
        suffix = f".{name}"
        kinds = {key.removesuffix(suffix): value for key, value in named.items() if key.endswith(suffix)}
        for kind, value in kinds.items():
            if "." not in kind:
                optimizer.state[parameter][kind] = _laid_out_like(parameter, value)


def _laid_out_like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A copy in the parameter's memory format, which fused kernels take for granted."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone()
