"""The forward pass of all lanes at once, layer by layer: what `vmap` would do, in fewer and larger operations.

Activations are [L, B, ...]. Convolutions, pools and norms merge lanes into channels [B, L * C, ...]; where the
activations came from such a layer, the merged form is a view and nothing is copied.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from hpo.training.models.layers import ELEMENTWISE, Dropout

Tensors = Mapping[str, torch.Tensor]


def can_fuse(module: nn.Module) -> bool:
    """Whether every layer of `module` has a form for lanes here."""
    match module:
        case nn.Sequential():
            return all(can_fuse(layer) for layer in module)
        case nn.Conv2d():
            return module.groups == 1 and isinstance(module.padding, tuple) and module.padding_mode == "zeros"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return module.track_running_stats and module.momentum is not None
        case nn.Flatten():
            return module.start_dim == 1
        case nn.Linear() | nn.MaxPool2d() | nn.AvgPool2d() | Dropout() | nn.Identity():
            return True
        case _:
            return type(module) in ELEMENTWISE


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
        case nn.Linear():
            return _dense(x, tensors[prefix + "weight"], tensors.get(prefix + "bias"))
        case nn.Conv2d():
            return _convolve(module, tensors[prefix + "weight"], tensors.get(prefix + "bias"), x)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return _normalize(module, tensors, prefix, x)
        case Dropout():
            return module.drop(x, tensors[prefix + "rate"]) if module.training else x
        case nn.Flatten():
            return x.flatten(2)
        case _ if type(module) in ELEMENTWISE or isinstance(module, nn.Identity):
            treated: torch.Tensor = module(x)
            return treated
        case _:
            return _split(module(_merge(x)), len(x))


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


def _convolve(module: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
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


def _normalize(module: nn.BatchNorm1d | nn.BatchNorm2d, tensors: Tensors, prefix: str, x: torch.Tensor) -> torch.Tensor:
    """Statistics of each lane and channel are those of a channel of its own."""
    if module.training:
        tensors[prefix + "num_batches_tracked"].add_(1)
    scale, shift = tensors.get(prefix + "weight"), tensors.get(prefix + "bias")
    merged = functional.batch_norm(
        _merge(x),
        tensors[prefix + "running_mean"].view(-1),
        tensors[prefix + "running_var"].view(-1),
        None if scale is None else scale.flatten(),
        None if shift is None else shift.flatten(),
        module.training,
        module.momentum or 0.0,
        module.eps,
    )
    return _split(merged, len(x))


def _merge(x: torch.Tensor) -> torch.Tensor:
    """[L, B, C, ...] -> [B, L * C, ...]."""
    return x.transpose(0, 1).flatten(1, 2)


def _split(merged: torch.Tensor, num_lanes: int) -> torch.Tensor:
    """[B, L * C, ...] -> [L, B, C, ...], a view."""
    return merged.view(len(merged), num_lanes, -1, *merged.shape[2:]).transpose(0, 1)
