"""Batch norm over the examples of all ranks, on any device: torch's `SyncBatchNorm` knows no processor."""

from typing import Self

import torch
from torch import nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """Normalises by the statistics of the batches of all ranks together, which may be unequal or empty.

    Without gradients, as where statistics are estimated anew, every rank has all examples before it, and asks nobody.
    """

    @classmethod
    def of(cls, norm: _BatchNorm) -> Self:
        """With the parameters and buffers of `norm`."""
        shared = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        shared.weight, shared.bias = norm.weight, norm.bias
        shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
        shared.num_batches_tracked = norm.num_batches_tracked
        return shared.train(norm.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, ...] -> the same shape."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *(1,) * (x.ndim - 2)]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # as torch's own does, where products are bfloat16
        counts = wide.new_full((1,), x.numel() / x.shape[1])
        sums = all_reduce(torch.cat([wide.sum(axes), counts]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = wide - mean.view(shape)
        variance = all_reduce(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        typed: torch.Tensor = out.to(x.dtype)
        return typed

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """As running statistics, by the momentum; by the mean of all batches, where there is none."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Any will do."""


def share_norms(module: nn.Module) -> None:
    """Put a `SharedBatchNorm` in the place of every batch norm within `module`."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, SharedBatchNorm.of(child))
