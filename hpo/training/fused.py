"""The forward pass of all lanes at once, layer by layer: what `vmap` would do, in fewer and larger operations.

Activations are [L, B, ...]. Convolutions, pools and norms merge lanes into channels [B, L * C, ...]; where the
activations came from such a layer, the merged form is a view and nothing is copied.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from hpo.training.models.layers import ELEMENTWISE, DropConnect, Dropout, LeakyRelu, Maxout, Residual, Scale
from hpo.training.models.norms import GhostBatchNorm
from hpo.training.models.whitening import PatchWhitening

Tensors = Mapping[str, torch.Tensor]
ALIKE = ELEMENTWISE | {nn.Identity, Maxout}
"""Modules that do to [L, B, C] what they do to [B, C]."""
BY_CHANNEL = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
"""Modules that treat every channel alone, so that lanes can pass for channels."""


def can_fuse(module: nn.Module) -> bool:  # noqa: PLR0911 - one return for each kind of layer
    """Whether every layer of `module` has a form for lanes here."""
    match module:
        case nn.Sequential():
            return all(can_fuse(layer) for layer in module)
        case Residual():
            return can_fuse(module.branch) and can_fuse(module.shortcut)
        case nn.Conv2d():
            return module.groups == 1 and isinstance(module.padding, tuple) and module.padding_mode == "zeros"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return module.track_running_stats and module.momentum is not None
        case nn.Flatten():
            return module.start_dim == 1
        case nn.LayerNorm():
            return len(module.normalized_shape) == 1
        case nn.Linear() | DropConnect() | PatchWhitening() | nn.GroupNorm() | GhostBatchNorm():
            return True
        case Dropout() | LeakyRelu() | Scale():
            return True
        case _:
            return type(module) in ALIKE or isinstance(module, BY_CHANNEL)


def fused_forward(module: nn.Module, tensors: Tensors, x: torch.Tensor, num_lanes: int) -> torch.Tensor:
    """x [B, ...], the same for all lanes -> logits [L, B, C].

    Args:
        module: one that `can_fuse`; its own parameters are not used, its mode and settings are.
        tensors: parameters and buffers of all lanes by name, each [L, ...] and contiguous; running statistics change.
        x: inputs.
        num_lanes: L.
    """
    return _forward(module, tensors, "", x.expand(num_lanes, *x.shape))


def _forward(module: nn.Module, tensors: Tensors, prefix: str, x: torch.Tensor) -> torch.Tensor:  # noqa: PLR0911
    """One return for each kind of layer."""
    match module:
        case nn.Sequential():
            for name, layer in module.named_children():
                x = _forward(layer, tensors, f"{prefix}{name}.", x)
            return x
        case Residual():
            shortcut = _forward(module.shortcut, tensors, f"{prefix}shortcut.", x)
            return shortcut + _forward(module.branch, tensors, f"{prefix}branch.", x)
        case nn.Linear():
            return _dense(x, tensors[prefix + "weight"], tensors.get(prefix + "bias"))
        case nn.Conv2d() | PatchWhitening():
            return _convolve(module, tensors[prefix + "weight"], tensors.get(prefix + "bias"), x)
        case DropConnect():
            weight = _forward(module.dropout, tensors, f"{prefix}dropout.", tensors[prefix + "dense.weight"])
            return _dense(x, weight, tensors.get(prefix + "dense.bias"))
        case Dropout():
            return module.per_lane(x, tensors[prefix + "rate"]) if module.training else x
        case LeakyRelu() | Scale():
            return module.per_lane(x, tensors[prefix + module.NUMBER])
        case nn.Flatten():
            return x.flatten(2)
        case _ if type(module) in ALIKE:
            treated: torch.Tensor = module(x)
            return treated
        case _ if isinstance(module, BY_CHANNEL):
            return _split(module(_merge(x)), len(x))
        case _:
            return _normalize(module, tensors, prefix, x)


def _dense(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x [L, B, in], weight [L, out, in], bias [L, out] or none -> [L, B, out]."""
    if not torch.is_autocast_enabled(x.device.type):
        dense: torch.Tensor = _Dense.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return dense
    product = torch.bmm(x, weight.transpose(1, 2))  # autocast does not look into functions of our own
    return product if bias is None else product + bias.unsqueeze(1)


class _Dense(torch.autograd.Function):
    """y = x W^T + b for every lane; the gradient of W comes out contiguous, where autograd's own is transposed."""

    @staticmethod
    def forward(ctx, x, weight, bias):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        """See `_dense`."""
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        if bias is None:
            return torch.bmm(x, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        """grad [L, B, out] -> gradients of x, weight and bias."""
        x, weight = ctx.saved_tensors
        of_x = torch.bmm(grad, weight) if ctx.needs_input_grad[0] else None
        return of_x, torch.bmm(grad.transpose(1, 2), x), grad.sum(1) if ctx.has_bias else None


def _convolve(
    module: nn.Conv2d | PatchWhitening, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor
) -> torch.Tensor:
    """weight [L, out, in, h, w]; one grouped convolution, or a plain one where the lanes still share their input."""
    num_lanes = len(weight)
    shared = x.stride(0) == 0
    merged = functional.conv2d(
        x[0] if shared else _merge(x),
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        module.stride,
        module.padding,
        module.dilation,
        1 if shared else num_lanes,
    )
    return _split(merged, num_lanes)


def _normalize(module: nn.Module, tensors: Tensors, prefix: str, x: torch.Tensor) -> torch.Tensor:
    """By statistics of each lane's own."""
    scale, shift = tensors.get(prefix + "weight"), tensors.get(prefix + "bias")
    match module:
        case GhostBatchNorm():
            parts = [_normalize(module.norm, tensors, f"{prefix}norm.", part) for part in module.parts(x, axis=1)]
            return torch.cat(parts, 1)
        case nn.LayerNorm():
            standard = functional.layer_norm(x, module.normalized_shape, eps=module.eps)
            of_units = (len(x), *(1,) * (x.ndim - 2), -1)
            scaled = standard if scale is None else standard * scale.view(of_units)
            return scaled if shift is None else scaled + shift.view(of_units)
        case nn.GroupNorm():
            num_groups = len(x) * module.num_groups
            merged = functional.group_norm(_merge(x), num_groups, _flat(scale), _flat(shift), module.eps)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            if module.training:
                tensors[prefix + "num_batches_tracked"].add_(1)
            mean, var = tensors[prefix + "running_mean"].view(-1), tensors[prefix + "running_var"].view(-1)
            momentum = module.momentum or 0.0
            merged = functional.batch_norm(
                _merge(x), mean, var, _flat(scale), _flat(shift), module.training, momentum, module.eps
            )
        case _:
            raise AssertionError(f"{type(module).__name__} has no form for lanes, and `can_fuse` says so")
    return _split(merged, len(x))


def _flat(of_channels: torch.Tensor | None) -> torch.Tensor | None:
    """[L, C] -> [L * C]."""
    return None if of_channels is None else of_channels.flatten()


def _merge(x: torch.Tensor) -> torch.Tensor:
    """[L, B, C, ...] -> [B, L * C, ...]."""
    return x.transpose(0, 1).flatten(1, 2)


def _split(merged: torch.Tensor, num_lanes: int) -> torch.Tensor:
    """[B, L * C, ...] -> [L, B, C, ...], a view."""
    return merged.view(len(merged), num_lanes, -1, *merged.shape[2:]).transpose(0, 1)
