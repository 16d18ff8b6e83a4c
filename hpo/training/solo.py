"""One trial, as plain PyTorch: the reference that every lane must equal."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call

from hpo.training.evaluate import evaluate
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.precision import autocast, matmul_precision
from hpo.training.program import Epoch, average_into, share_kept, summarize
from hpo.training.recipe import Recipe
from hpo.training.seeds import seed_layers
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
        self._is_convolutional = any(isinstance(layer, nn.Conv2d) for layer in self._module.modules())
        if self._is_convolutional:  # twice as fast on a processor, and what tensor cores want
            self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = recipe.optimizer.make(self._module)
        _restore(self._optimizer, self._module, state.optimizer)
        averaged = state.averaged or state.module
        self._averaged = {name: value.clone() for name, value in averaged.items()} if recipe.ema_half_life > 0 else {}

    def train_epoch(self, epoch: int) -> list[Epoch]:
        """See `Program`; on a processor, which need not be waited for, ends at the first loss that is not finite."""
        data, recipe = self._data, self._recipe
        batches = self._luck.batches(epoch, data.train_y, recipe.batch_size)
        first_step, num_steps = (epoch - 1) * len(batches), recipe.epochs * len(batches)
        self._module.train()
        losses: list[torch.Tensor] = []
        rate = 0.0
        with matmul_precision(recipe.precision):
            for seed, indices in zip(self._luck.step_seeds(epoch, len(batches)), batches, strict=True):
                seed_layers(seed, data.train_x.device)
                rate = recipe.optimizer.lr * recipe.schedule((first_step + len(losses)) / num_steps)
                losses.append(self._step(data.train_x[indices], data.train_y[indices], rate))
                if losses[-1].device.type == "cpu" and not math.isfinite(losses[-1].item()):
                    break
                self._average(len(batches))
        return [summarize(torch.stack(losses).tolist(), [len(batch) for batch in batches], rate, first_step)]

    def evaluate(self) -> list[dict[str, float]]:
        """See `Program`."""
        self._module.eval()
        metrics = self._measured(self._module)
        if self._averaged:
            averaged = self._measured(lambda x: functional_call(self._module, self._averaged, (x,)))
            metrics |= {f"ema_{name}": value for name, value in averaged.items()}
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

    def _measured(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        data, precision = self._data, self._recipe.precision

        def logits(x: torch.Tensor) -> torch.Tensor:
            with autocast(precision, x.device):
                return forward(self._laid_out(x)).unsqueeze(0)

        return evaluate(logits, data.validation_x, data.validation_y)[0]

    def _step(self, x: torch.Tensor, y: torch.Tensor, rate: float) -> torch.Tensor:
        """One update at learning rate `rate`; the loss before it."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        with autocast(self._recipe.precision, x.device):
            loss = self._recipe.loss(self._module(self._laid_out(x)), y)
        loss.backward()
        if self._recipe.grad_clip > 0:
            nn.utils.clip_grad_norm_(self._module.parameters(), self._recipe.grad_clip)
        self._optimizer.step()
        return loss.detach()

    def _average(self, steps_per_epoch: int) -> None:
        if self._averaged:
            kept = share_kept(self._recipe.ema_half_life, steps_per_epoch)
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
