"""Batch norms folded into the layers that they follow: in eval mode both are affine, and so is their product."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from hpo.training.models.layers import DropConnect
from hpo.training.models.norms import GhostBatchNorm


def fold_norms(module: nn.Module) -> None:
    """Fold every batch norm that follows a convolution or dense layer inside an `nn.Sequential`, in place.

    A max-pool may stand between the two where no scale of the norm is negative: the largest value stays the largest.
    Weights and biases become those of y = gamma (W x + b - mean) / sqrt(var + eps) + beta (Ioffe & Szegedy 2015).

    Args:
        module: in eval mode.
    """
    for sequence in [found for found in module.modules() if type(found) is nn.Sequential]:
        for place in range(1, len(sequence)):
            norm = _in_eval(sequence[place])
            if isinstance(norm, _BatchNorm) and norm.running_var is not None:
                _fold(sequence, place, norm)


def num_norms(module: nn.Module) -> int:
    """Batch norms in `module`."""
    return sum(isinstance(layer, _BatchNorm) for layer in module.modules())


def _fold(sequence: nn.Sequential, place: int, norm: _BatchNorm) -> None:
    """Put the norm at `place` into the layer before it, if that can take it."""
    before = place - 1
    if before > 0 and isinstance(sequence[before], nn.MaxPool2d) and _never_falls(norm):
        before -= 1
    match _in_eval(sequence[before]):
        case nn.Linear() as dense if isinstance(norm, nn.BatchNorm1d):
            sequence[before] = fuse_linear_bn_eval(dense, norm)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d() as convolution:
            sequence[before] = fuse_conv_bn_eval(convolution, norm)
        case _:
            return
    sequence[place] = nn.Identity()


def _in_eval(layer: nn.Module) -> nn.Module:
    """The torch layer that one of ours is in eval mode."""
    match layer:
        case DropConnect():
            return layer.dense
        case GhostBatchNorm():
            return layer.norm
        case _:
            return layer


def _never_falls(norm: _BatchNorm) -> bool:
    scales = norm.weight if norm.affine else torch.ones(1)
    return bool((scales >= 0).all())
