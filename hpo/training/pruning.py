"""What a trained network can do without: its smallest weights (Han et al. 2015), or whole units of every layer."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import nn

from hpo.errors import PruneError
from hpo.training.models import Cnn, Mlp, Model
from hpo.training.models.layers import ELEMENTWISE, DropConnect, Dropout
from hpo.training.models.norms import GhostBatchNorm
from hpo.training.models.whitening import PatchWhitening
from hpo.training.recipe import Recipe
from hpo.training.state import Tensors

Mode = Literal["global_l1", "structured"]

_DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, GhostBatchNorm)
_UNITS_APART = (nn.Flatten, nn.MaxPool2d, *_NORMS, Dropout, DropConnect, PatchWhitening)  # whose filters all stay


def weights_of(module: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of all dense layers and convolutions, by name; once, where layers share them."""
    found = {id(layer.weight) for layer in module.modules() if isinstance(layer, _DENSE)}
    return {name: parameter for name, parameter in module.named_parameters() if id(parameter) in found}


def check_prunable(model: Model, module: nn.Module, mode: Mode) -> None:
    """Hold a network against the way in which it is to be pruned.

    Raises:
        PruneError: if it has no weights to prune, or units that cannot be taken out of it.
    """
    if not weights_of(module):
        raise PruneError("a network must have dense layers or convolutions to be pruned, but this has none.")
    if mode == "global_l1":
        return
    rule = "structured pruning takes units out of layers that follow one another and treat units apart"
    if not isinstance(model, Mlp | Cnn):
        raise PruneError(f"{rule}: model.kind must be mlp or cnn, but is {model.kind}. Use mode global_l1.")
    mixing = [type(layer).__name__ for layer in module.children() if not _treats_units_apart(layer)]
    if mixing:
        raise PruneError(f"{rule}, but this {model.kind} has a layer {mixing[0]}. Use mode global_l1.")


def keep_largest(weights: Mapping[str, torch.Tensor], amount: float) -> Tensors:
    """Masks by name, False for the share `amount` of smallest absolute value of all weights together.

    As `torch.nn.utils.prune.global_unstructured` by `L1Unstructured`.
    """
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    smallest = sizes.topk(round(amount * len(sizes)), largest=False).indices
    kept = torch.ones_like(sizes, dtype=torch.bool).index_fill_(0, smallest, value=False)
    parts = kept.split([weight.numel() for weight in weights.values()])
    return {name: part.view_as(weight) for (name, weight), part in zip(weights.items(), parts, strict=True)}


def hold_masks(module: nn.Module, optimizer: torch.optim.Optimizer, masks: Tensors) -> None:
    """Zero the weights of `module` where their mask is False: now, and after every step of `optimizer`.

    Their gradients are zeroed before the step, so that they take no part in a norm by which others are clipped.
    """
    pruned = [(weight, ~masks[name].to(weight.device)) for name, weight in weights_of(module).items()]

    def zero_weights(*_: object) -> None:
        for weight, where in pruned:
            weight.detach().masked_fill_(where, 0)

    for weight, where in pruned:
        if weight.requires_grad:  # a frozen one has no gradients
            weight.register_post_accumulate_grad_hook(partial(_zero_gradient, where))
    optimizer.register_step_post_hook(zero_weights)
    zero_weights()


def remove_units(recipe: Recipe, module: nn.Module, amount: float) -> tuple[Recipe, Tensors]:
    """The recipe of a smaller network, and its state: without the share `amount` of every hidden layer's units.

    Those go whose incoming weights have the smallest L2 norm, as `torch.nn.utils.prune.ln_structured` has it, and with
    them all that they send on; one at least stays in every layer. Units are the channels of a convolution.

    Args:
        recipe: whose model `check_prunable` lets pass.
        module: its network, trained.
        amount: in [0, 1).
    """
    layers = [(name, layer) for name, layer in module.named_modules() if [*layer.parameters(recurse=False)]]
    small: Tensors = dict(module.state_dict())  # what has no parameters, such as whitened patches, stays
    widths = []
    width = num_inputs = layers[0][1].get_parameter("weight").shape[1]
    kept = torch.arange(num_inputs)
    for name, layer in layers:
        values = layer.state_dict()
        if isinstance(layer, _DENSE):
            weight = values["weight"]
            num_each = weight.shape[1] // width  # pixels of a channel, where they have been flattened
            values["weight"] = weight[:, (kept.unsqueeze(1) * num_each + torch.arange(num_each)).flatten()]
            width = len(weight)
            kept = torch.arange(width) if layer is layers[-1][1] else _longest(weight, amount)
            widths.append(len(kept))
        small |= {f"{name}.{key}": value[kept] if value.ndim else value for key, value in values.items()}
    return recipe.model_copy(update={"model": _narrowed(recipe.model, tuple(widths[:-1]))}), small


def _zero_gradient(where: torch.Tensor, weight: torch.Tensor) -> None:
    assert weight.grad is not None
    weight.grad.masked_fill_(where, 0)


def _treats_units_apart(layer: nn.Module) -> bool:
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups == layer.num_channels
    return isinstance(layer, (*_DENSE, *_UNITS_APART, *ELEMENTWISE))


def _longest(weight: torch.Tensor, amount: float) -> torch.Tensor:
    """The rows to keep, in their order."""
    num_kept = max(1, len(weight) - round(amount * len(weight)))
    kept: torch.Tensor = weight.flatten(1).norm(dim=1).topk(num_kept).indices.sort().values
    return kept


def _narrowed(model: Model, widths: tuple[int, ...]) -> Model:
    """With hidden layers of these widths."""
    match model:
        case Mlp():  # of which no two layers were equally wide, if it was to be residual
            return model.model_copy(update={"hidden": widths, "residual": False})
        case Cnn():
            return model.model_copy(update={"channels": widths[:-1], "hidden": widths[-1]})
        case _:
            raise AssertionError(model.kind)
