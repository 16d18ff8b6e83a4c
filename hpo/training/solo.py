"""One trial, as plain PyTorch: the reference that every lane must equal."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from hpo.training.evaluate import evaluate
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.recipe import Recipe
from hpo.training.seeds import make_generator
from hpo.training.state import Tensors, TrialState


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch of training came to."""

    train_loss: float
    """Mean over the examples, as trained on: smoothed, with dropout."""
    lr: float
    """Of the last step."""
    first_bad_step: int | None = None
    """The step, counted from the start of training, whose loss was not finite; training ended there."""


class Solo:
    """A network and its `torch.optim` optimizer, trained eagerly."""

    def __init__(self, recipe: Recipe, data: TrainingData, luck: Luck, module: nn.Module) -> None:
        self.recipe = recipe
        self._data = data
        self._luck = luck
        self._module = module
        self._optimizer = recipe.optimizer.make(module)

    @classmethod
    def start(cls, recipe: Recipe, data: TrainingData, luck: Luck, trial_id: int) -> "Solo":
        """A new trial, with initial weights by (sweep seed, trial)."""
        return cls(recipe, data, luck, initial_module(recipe, data, luck.seed, trial_id))

    @classmethod
    def resume(cls, recipe: Recipe, data: TrainingData, luck: Luck, state: TrialState) -> "Solo":
        """A trial that goes on from `state`."""
        module = recipe.model.build(data.input_shape, data.num_classes).to(data.train_x.device)
        module.load_state_dict(state.module)
        solo = cls(recipe, data, luck, module)
        _restore(solo._optimizer, module, state.optimizer)
        return solo

    def train_epoch(self, epoch: int) -> Epoch:
        """Train through epoch number `epoch`, from 1, or up to the first loss that is not finite."""
        data, recipe = self._data, self.recipe
        batches = self._luck.order(epoch, len(data.train_y)).to(data.train_y.device).split(recipe.batch_size)
        first_step, num_steps = (epoch - 1) * len(batches), recipe.epochs * len(batches)
        self._module.train()
        loss_sum, rate = 0.0, 0.0
        for step, (indices, seed) in enumerate(
            zip(batches, self._luck.step_seeds(epoch, len(batches)), strict=True), first_step
        ):
            torch.manual_seed(seed)
            rate = recipe.optimizer.lr * recipe.schedule(step / num_steps)
            loss = self._step(data.train_x[indices], data.train_y[indices], rate)
            if not math.isfinite(loss):
                return Epoch(train_loss=math.nan, lr=rate, first_bad_step=step)
            loss_sum += loss * len(indices)
        return Epoch(train_loss=loss_sum / len(data.train_y), lr=rate)

    def evaluate(self) -> tuple[float, float]:
        """Validation loss and accuracy of the weights as they are."""
        return evaluate(self._module, self._data.validation_x, self._data.validation_y)

    def state(self, epoch: int) -> TrialState:
        """A view of all that the trial needs to go on after `epoch`."""
        return TrialState(
            epoch=epoch,
            module=dict(self._module.state_dict()),
            optimizer=_named_state(self._optimizer, self._module),
        )

    def _step(self, x: torch.Tensor, y: torch.Tensor, rate: float) -> float:
        """One update at learning rate `rate`; none, if the loss is not finite."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        loss = self.recipe.loss(self._module(x), y)
        value = loss.item()
        if math.isfinite(value):
            loss.backward()
            self._optimizer.step()
        return value


def initial_module(recipe: Recipe, data: TrainingData, seed: int, trial_id: int) -> nn.Module:
    """The network of a trial before its first step."""
    module = recipe.model.build(data.input_shape, data.num_classes)
    recipe.initializer(module, make_generator(seed, "weights", trial_id))
    return module.to(data.train_x.device)


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
