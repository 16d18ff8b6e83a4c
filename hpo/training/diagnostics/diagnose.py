"""One look at a trial: metrics of its inside, on a copy."""

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from hpo.training.depth import batch_norms, freeze
from hpo.training.diagnostics.measures import correlation, effective_rank, entropy_of, largest, ratio_of_updates, spread
from hpo.training.diagnostics.watching import Watch, summary
from hpo.training.evaluate import estimate_norms
from hpo.training.examples import TrainingData
from hpo.training.losses import weights_of_classes
from hpo.training.luck import Luck
from hpo.training.precision import autocast
from hpo.training.program import draw_batch
from hpo.training.recipe import Recipe
from hpo.training.seeds import derive_seed, make_generator, seed_layers
from hpo.training.solo import Solo
from hpo.training.state import Tensors, TrialState

NUM_EXAMPLES = 256
"""On which activations and features are measured, where there are so many."""


def diagnose(
    recipe: Recipe, data: TrainingData, state: TrialState, rate: float, seed: int, start: TrialState | None = None
) -> dict[str, float]:
    """What `recipe.diagnostics` asks for, as metrics; nothing is changed, torch's generators neither.

    Args:
        recipe: of the trial.
        data: of which one batch is taken, by `seed` alone.
        state: of the trial after an epoch.
        rate: the learning rate of one more step.
        seed: of the sweep.
        start: the trial before its first step, where its loss is wanted.
    """
    device = data.train_x.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        found: dict[str, float] = {}
        for kind in recipe.diagnostics.kinds:
            match kind:
                case "updates":
                    found |= updates(recipe, data, state, rate, seed)
                case "gradients":
                    found |= gradients(recipe, data, state, seed)
                case "activations":
                    found |= activations(recipe, data, network(recipe, data, state), seed)
                case "features":
                    found |= features(recipe, data, network(recipe, data, state), seed)
                case "start" if start is not None:
                    loss = loss_ratio(recipe, data, settled(recipe, data, start, seed), seed)
                    found |= {"start_loss_ratio": loss}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def updates(recipe: Recipe, data: TrainingData, state: TrialState, rate: float, seed: int) -> dict[str, float]:
    """||dw|| / ||w|| of the weights of every layer that learns, by one more step of the trial's own optimizer."""
    solo = Solo(recipe, data, Luck(seed, 0), state)
    epoch = max(1, state.epoch)
    before = _weights(solo.module, {name: value.detach().clone() for name, value in solo.module.named_parameters()})
    indices = examples(data, seed, recipe.batch_size_at(epoch))
    solo.step_once(epoch, indices, rate, derive_seed(seed, "diagnostics"))
    return spread("update_ratio", ratio_of_updates(before, dict(solo.module.state_dict())))


def gradients(recipe: Recipe, data: TrainingData, state: TrialState, seed: int) -> dict[str, float]:
    """Of the loss of a batch as it is trained on, before anything clips or adds to them.

    A trial that accumulates gradients shows those of one micro-batch.
    """
    module = network(recipe, data, state).train()
    for norm in batch_norms(module, recipe.frozen_layers) if recipe.frozen_norms else ():
        norm.eval()
    epoch = max(1, state.epoch)
    size = recipe.batch_size_at(epoch)
    seed_layers(derive_seed(seed, "diagnostics"), data.train_x.device)
    x, targets = draw_batch(recipe, data, epoch, examples(data, seed, min(size, state.micro_batch or size)))
    weights = weights_of_classes(recipe.loss, data.train_y, data.train_x, data.num_classes)
    with autocast(recipe.precision, x.device):
        loss = recipe.loss(module(x), targets, weights)
    learning = [value for value in module.parameters() if value.requires_grad and value.ndim > 1]
    found = torch.autograd.grad(loss, learning, materialize_grads=True)
    return {
        **spread("gradient_norm", [grad.double().norm().item() for grad in found]),
        "gradient_zeros_largest": largest([(grad == 0).double().mean().item() for grad in found]),
        "gradients_not_finite": float(sum((~grad.isfinite()).sum().item() for grad in found)),
    }


def activations(recipe: Recipe, data: TrainingData, module: nn.Module, seed: int) -> dict[str, float]:
    """Of a network in evaluation mode."""
    return dict(summary(_watched(recipe, data, module, seed).activities))


def features(recipe: Recipe, data: TrainingData, module: nn.Module, seed: int) -> dict[str, float]:
    """Of what the last dense layer of a network in evaluation mode is given."""
    seen = _watched(recipe, data, module, seed).features
    if seen is None:
        return {}
    return {"feature_correlation": correlation(seen), "feature_rank": effective_rank(seen)}


def loss_ratio(recipe: Recipe, data: TrainingData, module: nn.Module, seed: int) -> float:
    """The loss of a network in evaluation mode over that of one which knows nothing of the example.

    That is ln C; or, where biases start at the shares of the classes, their entropy.
    """
    indices = examples(data, seed, NUM_EXAMPLES)
    with torch.no_grad(), autocast(recipe.precision, data.train_x.device):
        loss = functional.cross_entropy(module(data.train_x[indices]).float(), data.train_y[indices]).item()
    knows_shares = recipe.initializer.output_bias == "log_prior"
    ignorant = entropy_of(data.train_y) if knows_shares else math.log(data.num_classes)
    return loss / ignorant if ignorant > 0 else math.nan


def network(recipe: Recipe, data: TrainingData, state: TrialState) -> nn.Module:
    """A copy of a trial's network in evaluation mode, of which as much learns as of the trial's."""
    module = recipe.model.build(data.input_shape, data.num_classes).to(data.train_x)
    module.load_state_dict(state.module)
    freeze(module, recipe.frozen_layers)
    return module.eval()


def settled(recipe: Recipe, data: TrainingData, state: TrialState, seed: int) -> nn.Module:
    """The same of a trial before its first step, its batch norms with the statistics of one batch."""
    module = network(recipe, data, state)
    held = batch_norms(module, recipe.frozen_layers) if recipe.frozen_norms else []
    batch = data.train_x[examples(data, seed, NUM_EXAMPLES)]
    with autocast(recipe.precision, batch.device):
        estimate_norms(module, module, batch, len(batch), held)
    return module.eval()


def examples(data: TrainingData, seed: int, num: int) -> torch.Tensor:
    """Indices of `num` training examples, or of all if there are fewer: the same first ones for every `num`."""
    order = torch.randperm(len(data.train_y), generator=make_generator(seed, "diagnostics"))
    return order[:num].to(data.train_x.device)


def _watched(recipe: Recipe, data: TrainingData, module: nn.Module, seed: int) -> Watch:
    batch = data.train_x[examples(data, seed, NUM_EXAMPLES)]
    watch = Watch()
    with torch.no_grad(), autocast(recipe.precision, batch.device), watch:
        module(batch)
    return watch


def _weights(module: nn.Module, values: Mapping[str, torch.Tensor]) -> Tensors:
    """Of `values`, the weights that learn: tensors of two or more axes."""
    return {name: values[name] for name, own in module.named_parameters() if own.requires_grad and own.ndim > 1}
