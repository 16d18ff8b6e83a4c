"""One trial, as plain PyTorch: the reference that every lane must equal."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call

from hpo.training.evaluate import as_metrics, evaluate
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.program import Epoch, average_into, share_kept
from hpo.training.recipe import Recipe
from hpo.training.state import Tensors, TrialState


class Solo:
    """A network and its `torch.optim` optimizer, trained eagerly; a `Program` of one trial."""

    def __init__(self, recipe: Recipe, data: TrainingData, luck: Luck, state: TrialState) -> None:
        """Begin at `state`, which is left as it is."""
        self._recipe = recipe
        self._data = data
        self._luck = luck
        self._module = recipe.model.build(data.input_shape, data.num_classes).to(data.train_x)
        self._module.load_state_dict(state.module)
        self._optimizer = recipe.optimizer.make(self._module)
        _restore(self._optimizer, self._module, state.optimizer)
        averaged = state.averaged or state.module
        self._averaged = {name: value.clone() for name, value in averaged.items()} if recipe.ema_half_life > 0 else {}

    def train_epoch(self, epoch: int) -> list[Epoch]:
        """See `Program`; ends at the first loss that is not finite, before the update."""
        data, recipe = self._data, self._recipe
        batches = self._luck.batches(epoch, len(data.train_y), recipe.batch_size)
        first_step, num_steps = (epoch - 1) * len(batches), recipe.epochs * len(batches)
        seeds = self._luck.step_seeds(epoch, len(batches))
        self._module.train()
        loss_sum, rate = 0.0, 0.0
        for step, (indices, seed) in enumerate(zip(batches, seeds, strict=True), first_step):
            torch.manual_seed(seed)
            rate = recipe.optimizer.lr * recipe.schedule(step / num_steps)
            here = indices.to(data.train_y.device)
            loss = self._step(data.train_x[here], data.train_y[here], rate)
            if not math.isfinite(loss):
                return [Epoch(train_loss=math.nan, lr=rate, first_bad_step=step)]
            loss_sum += loss * len(indices)
            if self._averaged:
                values = list(self._module.state_dict().values())
                average_into(list(self._averaged.values()), values, share_kept(recipe.ema_half_life, len(batches)))
        return [Epoch(train_loss=loss_sum / len(data.train_y), lr=rate)]

    def evaluate(self) -> list[dict[str, float]]:
        """See `Program`."""
        self._module.eval()
        x, y = self._data.validation_x, self._data.validation_y
        [measured] = evaluate(lambda inputs: self._module(inputs).unsqueeze(0), x, y)
        metrics = as_metrics(measured)
        if self._averaged:
            [measured] = evaluate(lambda z: functional_call(self._module, self._averaged, (z,)).unsqueeze(0), x, y)
            metrics |= as_metrics(measured, "ema_")
        return [metrics]

    def state(self, lane: int, epoch: int) -> TrialState:
        """See `Program`; a view, which the next step changes."""
        return TrialState(
            epoch=epoch,
            module=dict(self._module.state_dict()),
            optimizer=_named_state(self._optimizer, self._module),
            averaged=self._averaged,
        )

    def keep(self, lanes: Sequence[int]) -> None:
        """See `Program`: there is nobody to leave."""

    def _step(self, x: torch.Tensor, y: torch.Tensor, rate: float) -> float:
        """One update at learning rate `rate`; none, if the loss is not finite."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        loss = self._recipe.loss(self._module(x), y)
        value = loss.item()
        if math.isfinite(value):
            loss.backward()
            if self._recipe.grad_clip > 0:
                nn.utils.clip_grad_norm_(self._module.parameters(), self._recipe.grad_clip)
            self._optimizer.step()
        return value


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
        optimizer.state[parameter].update({kind: value.clone() for kind, value in kinds.items() if "." not in kind})
